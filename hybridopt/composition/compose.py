"""Hydra composes the config of a job, in the program as in a script."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf

from hybridopt.composition import checking, config_source, loader, renamed, schema, targets
from hybridopt.composition.sentences import RAISED, sentence
from hybridopt.composition.targets import TARGET
from hybridopt.errors import ConfigError
from hybridopt.toolbox.credentials import hide_in


def register() -> None:
    """Make Hydra know our plugins and the typed frame of a job, and check what it would build for itself."""
    loader.register()
    schema.register()
    config_source.register()


def compose(*overrides: str) -> DictConfig:
    """The config of a job; nothing is run, and nothing heavy is imported.

    Args:
        overrides: what a user types after ``hybridopt``, such as ``"strategy=adam"``, ``"seed=3"``.

    Raises:
        ConfigError: an override does not fit; the sentence says which, and what there is instead.
    """
    register()
    try:
        with (
            targets.permitting(targets.said(overrides)),
            _beside_other_programs(),
            hydra.initialize_config_module("hybridopt.conf", version_base="1.3"),
        ):
            return hydra.compose("config", overrides=spelled_out(hide_in(overrides)))
    except RAISED as error:
        raise ConfigError(sentence(error)) from error


@contextmanager
def _beside_other_programs() -> Iterator[None]:
    """Inside, Hydra may be initialised, also where a program of Hydra's calls; that one's is there again afterwards."""
    former, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = former


def spelled_out(overrides: Sequence[str]) -> list[str]:
    """Overrides, or arguments among which they are, with what is short for others in full.

    ``weights=<source>`` is ``weights.source=<source>``; ``objectives={<name>: <objective>, ...}`` is
    ``objective=several`` and a part of it for each name.
    """
    return [
        full
        for override in overrides
        for full in (
            objectives_apart(override)
            if re.match(r"\+*objectives=", override)
            else [re.sub(r"^(\+*)weights=(?!\{)", r"\1weights.source=", override)]
        )
    ]


def objectives_apart(override: str) -> list[str]:
    """``objectives={...}`` as overrides of the parts of ``objective=several``.

    Raises:
        ConfigError: it is no mapping of names to objectives, or to their settings with a ``name``.
    """
    named = _mapping(override)
    if not named or not all(isinstance(key, str) and key.isidentifier() for key in named):
        raise ConfigError(
            f"{override} names no objectives: type objectives='{{<name>: <objective>, ...}}', such as "
            "objectives='{loss: cross_entropy, sparsity: zero_weights}'."
        )
    parts = {name: dict(part) if isinstance(part, Mapping) else {"name": part} for name, part in named.items()}
    nameless = next((name for name, part in parts.items() if not isinstance(part.get("name"), str)), None)
    if nameless is not None:
        raise ConfigError(
            f"objectives has no objective at {nameless}: type {nameless}: <objective>, or {nameless}: {{name: "
            "<objective>, <setting>: <value>}."
        )
    chosen = [f"+objective@objective.parts.{name}={part.pop('name')}" for name, part in parts.items()]
    settings = [
        f"objective.parts.{name}.{key}={json.dumps(value)}"
        for name, part in parts.items()
        for key, value in part.items()
    ]
    return ["objective=several", *chosen, *settings]


def _mapping(override: str) -> dict[Any, Any] | None:
    """What an override sets, where that is a mapping."""
    try:
        value = OverridesParser.create().parse_override(override).value()
    except OverrideParseException:
        return None
    return cast(dict[Any, Any], value) if isinstance(value, dict) else None


def plain_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config resolved, as dictionaries and lists; what is plain already stays as it is.

    Raises:
        ConfigError: a setting that has no default was not given, a value refers to what is not there, a part of the
            strategy is asked for that is none, or a setting is not what it must be.
    """
    plain = part_in_place(resolved(config)) if isinstance(config, DictConfig) else renamed.current(config)
    checking.check(plain, whole=isinstance(config, DictConfig))
    return plain


def resolved(config: DictConfig) -> dict[str, Any]:
    """The config as dictionaries and lists, with its interpolations resolved.

    Raises:
        ConfigError: a setting is missing, or a value refers to what is not there.
    """
    try:
        return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key} has no default: give it a value, {error.full_key}=<value>.") from error
    except RAISED as error:
        raise ConfigError(sentence(error)) from error


def part_in_place(config: dict[str, Any]) -> dict[str, Any]:
    """The config of a control arm: where ``sweep.arm.part`` names a part of the strategy, that part, with its settings.

    No list of overrides says this for every job: a preset may have added phases, or set what the part does not have.

    Raises:
        ConfigError: there is no strategy at that place.
    """
    arm = config.get("sweep", {}).get("arm", {})
    if arm.get("part") is None:
        return config
    found: Any = config["strategy"]
    for key in arm["part"].split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping) or not {"name", TARGET} & found.keys():
        raise ConfigError(
            f"There is no strategy at strategy.{arm['part']}, which sweep.arm.part asks for: name a part of the "
            "strategy, such as sweep.arm.part=finetune of strategy=lottery_ticket."
        )
    return config | {"strategy": found, "sweep": config["sweep"] | {"arm": arm | {"part": None}}}
