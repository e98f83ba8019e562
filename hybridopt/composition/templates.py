"""Configs of jobs that choose the same plugins and presets: Hydra composes one of them, in the others values are set.

Hydra takes a fifteenth of a second for a job, and composes each twice, for the plan of a sweep and for its launch; a
copy of what is composed takes milliseconds.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, cast

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from hybridopt.composition.assignments import assigned, clash

MOST = 256  # templates that are kept
PLACES = ("hydra.sweep.dir", "hydra.sweep.subdir")  # of a job, which Hydra itself reads no sooner than at its start

Compose = Callable[[DictConfig, list[str]], DictConfig]


class Templates:
    """Keeps what was composed without the values, and sets the values in a copy.

    Args:
        compose: Hydra's way from the config of a sweep and the overrides of a job to the job's config.
        is_group: whether a key chooses from a config group, such as ``strategy``.
    """

    def __init__(self, compose: Compose, is_group: Callable[[str], bool]):
        self._compose, self._is_group = compose, lru_cache(maxsize=None)(is_group)
        self._kept: dict[tuple[str, ...], DictConfig | None] = {}

    def derive(self, master: DictConfig, overrides: Sequence[str]) -> DictConfig | None:
        """The config of a job, as Hydra would compose it; None where Hydra has to, or to say what is wrong with it.

        Args:
            master: the config of the sweep.
            overrides: of the job.
        """
        values = [found for found in map(self._value, overrides) if found is not None]
        rest = [override for override in overrides if self._value(override) is None]
        if clash([key for key, _ in values], rest, self._is_group):
            return None
        template = self._template(master, rest)
        if template is None:
            return None
        composed = copy.deepcopy(template)
        try:
            for key, value in values:
                OmegaConf.update(composed, key, value, merge=True)
        except OmegaConfBaseException:
            return None
        _say(composed, master, overrides)
        OmegaConf.copy_cache(from_config=master, to_config=composed)  # as Hydra does
        return composed

    def _value(self, override: str) -> tuple[str, Any] | None:
        """What an override sets, if it needs no Hydra for it."""
        found = assigned(override)
        if found is None:
            return None
        if found[0].startswith("hydra."):
            return found if found[0] in PLACES else None
        return None if self._is_group(found[0]) else found

    def _template(self, master: DictConfig, rest: list[str]) -> DictConfig | None:
        key = (os.getcwd(), *own_overrides(master), "", *rest)
        if key not in self._kept:
            if len(self._kept) >= MOST:
                del self._kept[next(iter(self._kept))]
            try:
                composed = self._compose(master, rest)
                self._kept[key] = None if composed.hydra.job.env_copy else composed
            except HydraException:
                self._kept[key] = None
        return self._kept[key]


def _say(composed: DictConfig, master: DictConfig, overrides: Sequence[str]) -> None:
    """Note by which overrides a config was made, as Hydra does."""
    parsed = [_parsed(override) for override in overrides]
    own = composed.hydra
    with read_write(own), open_dict(own):
        own.overrides.hydra = [*own_overrides(master), *(one.input_line for one in parsed if one.is_hydra_override())]
        tasks = [one for one in parsed if not one.is_hydra_override()]
        own.overrides.task = [one.input_line for one in tasks]
        naming = own.job.config.override_dirname
        own.job.override_dirname = get_overrides_dirname(
            tasks, exclude_keys=naming.exclude_keys, item_sep=naming.item_sep, kv_sep=naming.kv_sep
        )


def own_overrides(master: DictConfig) -> list[str]:
    """What was typed for Hydra itself, such as ``hydra.sweep.dir=<folder>``, and holds for all jobs of a sweep."""
    return cast(list[str], OmegaConf.to_container(master.hydra.overrides.hydra, resolve=False))


@lru_cache(maxsize=1024)
def _parsed(override: str) -> Override:
    return OverridesParser.create().parse_override(override)
