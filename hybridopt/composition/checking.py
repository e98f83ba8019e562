"""A job's config is what its frame and its plugins ask for, or it is refused in a sentence; nothing is built before."""

from __future__ import annotations

import ast
import dataclasses
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from hybridopt.composition import building, source
from hybridopt.composition.kinds import PARTS
from hybridopt.composition.schema import FRAMES, RULE, STRUCTURED
from hybridopt.composition.targets import nodes
from hybridopt.composition.values import check_numbers, check_value
from hybridopt.errors import ConfigError, suggestion

NEEDED = (*PARTS, "budget", "oracle", "seed")
TRAINER = "pytorch_lightning.trainer.trainer:Trainer"
NEUTRAL = {"accumulate_grad_batches": 1, "gradient_clip_val": 0}
ENDS = "a run ends when its budget is spent: set budget.forwards"
WHOLE = "every run is judged on the whole set: make it smaller by the settings of dataset"
MARKS = "a run is validated and reported at the marks of its budget: set budget.marks"
IGNORED = {  # arguments of the Trainer that it refuses, or does not heed, where strategies step by themselves
    "accumulate_grad_batches": "a strategy takes its batch as it comes: set dataset.batch_size",
    "gradient_clip_val": "a strategy steps by itself: set strategy.max_norm, or a smaller strategy.lr",
    "gradient_clip_algorithm": "a strategy steps by itself: set strategy.max_norm, or a smaller strategy.lr",
    **dict.fromkeys(("max_epochs", "min_epochs", "min_steps", "limit_train_batches"), ENDS),
    **dict.fromkeys(("limit_val_batches", "limit_test_batches", "overfit_batches"), WHOLE),
    **dict.fromkeys(("val_check_interval", "check_val_every_n_epoch", "log_every_n_steps"), MARKS),
}


def check(config: Mapping[str, Any], whole: bool = False) -> None:
    """Refuse a config with a setting that there is not, or that is not what it must be.

    Args:
        config: of a job, plain values.
        whole: whether it was composed, so that all settings of the frame are there unless the user has removed some.

    Raises:
        ConfigError: a sentence.
        PluginError: a plugin cannot be found.
    """
    need(NEEDED, config)
    need(["name"], config.get("tracking"), "tracking")
    for path, frame in STRUCTURED.items() if whole else ():
        need([field.name for field in dataclasses.fields(frame)], _at(config, path), path)
    check_numbers("", config)
    for path, frame in FRAMES.items():
        check_frame(path, frame, _at(config, path))
    for kind, settings, path in plugins_of(config):
        if not isinstance(settings, Mapping):
            raise ConfigError(f"{path} must name a {kind}, as {path}=<name> does, but is {settings!r}.")
        for node in building.walk(kind, settings, path):
            if node.plugin is not None:
                building.check_settings(node.path, node.plugin, node.settings)


def need(names: Iterable[str], settings: Any, path: str = "") -> None:
    """Refuse a group that lacks a setting, since somebody has removed it."""
    missing = next((name for name in names if isinstance(settings, Mapping) and name not in settings), None)
    if missing is not None:
        place = f"{path}.{missing}" if path else missing
        raise ConfigError(f"{place} is missing from the config: leave it as it is, or give it a value.")


def plugins_of(config: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """The plugins that a job's config names: kind, settings, dotted path."""
    for kind in PARTS:
        yield kind, config[kind], kind
    for name, settings in (_at(config, "trainer.callbacks") or {}).items():
        yield "callback", {"name": name, **(settings or {})}, f"trainer.callbacks.{name}"


def check_frame(path: str, frame: Any, settings: Any) -> None:
    """Refuse settings of a group that it does not have, or that are out of bounds.

    Args:
        path: of the group; empty for the job itself.
        frame: a dataclass, whose fields have types and rules.
        settings: the group's values; None where the config lacks it.
    """
    if settings is None:
        return
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{path} must be a mapping of settings, but is {settings!r}.")
    fields, hints = {field.name: field for field in dataclasses.fields(frame)}, types_of(frame)
    names = known_names(path, fields, settings)
    for name, value in settings.items():
        place = f"{path}.{name}" if path else str(name)
        if name not in names and not any(nodes(value)):  # what would be called has its own sentence
            listed = ", ".join(sorted(names))
            raise ConfigError(f"There is no setting {place}.{suggestion(names, str(name))} Choose from: {listed}.")
        if name not in fields or dataclasses.is_dataclass(hints[name]):
            continue
        check_value(place, hints[name], value)
        rule, limits = fields[name].metadata.get(RULE, (None, ()))
        if rule is not None:
            rule(path, *limits, **{name: value})


@cache
def types_of(frame: Any) -> dict[str, Any]:
    """The types of a dataclass's fields."""
    return typing.get_type_hints(frame)


def known_names(path: str, fields: Iterable[str], settings: Mapping[str, Any]) -> set[str]:
    """What settings a group has; the Trainer's are read from its source, where others than the usual ones are set."""
    known = set(fields)
    if path != "trainer" or settings.keys() <= known:
        return known
    for name, instead in IGNORED.items():
        if settings.get(name) not in (None, NEUTRAL.get(name)):
            raise ConfigError(f"trainer.{name} is not heeded, since {instead}.")
    return known | arguments_of(TRAINER)


@cache
def arguments_of(target: str) -> frozenset[str]:
    """The names of the arguments that a class takes, read from its source."""
    place = source.find(target)
    body = place.definition.body if place is not None and isinstance(place.definition, ast.ClassDef) else []
    found = [one.args for one in body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    return frozenset(argument.arg for one in found for argument in [*one.args, *one.kwonlyargs]) - {"self"}


def _at(config: Any, path: str) -> Any:
    for key in path.split(".") if path else ():
        config = config.get(key) if isinstance(config, Mapping) else None
    return config
