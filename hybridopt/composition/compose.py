"""Hydra composes the config of a job, in the program as in a script."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf

from hybridopt.composition import checking, config_source, loader, schema, targets
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
    """Overrides, or arguments among which they are, with ``weights=<source>`` as ``weights.source=<source>``."""
    return [re.sub(r"^(\+*)weights=(?!\{)", r"\1weights.source=", override) for override in overrides]


def plain_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config resolved, as dictionaries and lists; what is plain already stays as it is.

    Raises:
        ConfigError: a setting that has no default was not given, a value refers to what is not there, a part of the
            strategy is asked for that is none, or a setting is not what it must be.
    """
    plain = part_in_place(resolved(config)) if isinstance(config, DictConfig) else dict(config)
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
