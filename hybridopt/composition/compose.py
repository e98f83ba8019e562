"""Hydra composes the config of a job, in the program as in a script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import hydra
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf

from hybridopt.composition import config_source, schema
from hybridopt.errors import ConfigError


def register() -> None:
    """Make Hydra know our plugins and the typed frame of a job."""
    schema.register()
    config_source.register()


def compose(*overrides: str) -> DictConfig:
    """The config of a job; nothing is run, and nothing heavy is imported.

    Args:
        overrides: what a user types after ``hybridopt``, such as ``"strategy=adam"``, ``"seed=3"``.

    Raises:
        hydra.errors.HydraException: an override does not fit; its text says which, and what there is instead.
    """
    register()
    with hydra.initialize_config_module("hybridopt.conf", version_base="1.3"):
        return hydra.compose("config", overrides=list(overrides))


def plain_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config resolved, as dictionaries and lists; what is plain already stays as it is.

    Raises:
        ConfigError: a setting that has no default was not given.
    """
    if not isinstance(config, DictConfig):
        return dict(config)
    try:
        return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key} has no default: give it a value, {error.full_key}=<value>.") from error
