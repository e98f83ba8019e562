"""Configs of jobs that differ from one another in values alone: one of them is resolved, the others follow from it.

Copying and resolving what Hydra has composed takes a hundredth of a second for a job, whatever it differs in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hybridopt.composition.assignments import assigned, clash
from hybridopt.composition.compose import part_in_place

FREE = re.compile(r"\$\{oc\.env:[^${}]*\}|\$\{\w+(\.\w+)*\}")  # interpolations that depend on no more than they name


@dataclass
class Template:
    """A job that Hydra has composed.

    Args:
        typed: its config, whose types values have to fit.
        plain: the same, resolved.
    """

    typed: DictConfig
    plain: dict[str, Any]

    def with_values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The config of the job that has other values.

        Raises:
            OmegaConfBaseException: one does not fit.
        """
        config = self.plain
        for key, value in values.items():
            OmegaConf.update(self.typed, key, value, merge=True)
            taken = OmegaConf.select(self.typed, key)
            plain = OmegaConf.to_container(taken) if OmegaConf.is_config(taken) else taken
            config = _replaced(config, key.split("."), plain)
        return part_in_place(config)


class Deriver:
    """Keeps what was composed, and derives from it what can be.

    Args:
        is_group: whether a key chooses from a config group, such as ``strategy``.
    """

    def __init__(self, is_group: Callable[[str], bool]):
        self._is_group = is_group
        self._groups: dict[str, bool] = {}
        self._templates: dict[tuple[str, ...], Template | None] = {}

    def derive(self, overrides: Sequence[str]) -> dict[str, Any] | None:
        """The config of a job, as plain values; None where Hydra has to compose it, or to say what is wrong with it."""
        template = self._templates.get(self._rest(overrides))
        if template is None:
            return None
        try:
            return template.with_values(dict(self._values(overrides)))
        except OmegaConfBaseException:
            return None

    def keep(self, overrides: Sequence[str], composed: DictConfig) -> None:
        """Take a composed config, without Hydra's part, for others to be derived from."""
        rest, keys = self._rest(overrides), [key for key, _ in self._values(overrides)]
        if rest not in self._templates:
            alone = bool(keys) and self._independent(composed, keys, overrides)
            plain = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True)) if alone else {}
            self._templates[rest] = Template(composed, plain) if alone else None

    def _values(self, overrides: Sequence[str]) -> Iterator[tuple[str, Any]]:
        for key, value in filter(None, map(assigned, overrides)):
            if not (key.startswith("hydra.") or self._chooses(key)):
                yield key, value

    def _rest(self, overrides: Sequence[str]) -> tuple[str, ...]:
        """What jobs that are derived from one another have in common: all but the values."""
        keys = dict(self._values(overrides))
        return tuple(key if (key := override.partition("=")[0]) in keys else override for override in overrides)

    def _independent(self, composed: DictConfig, keys: Sequence[str], overrides: Sequence[str]) -> bool:
        """Whether no other value follows from those, and no other override says the same."""
        words = {word for key in keys for word in key.split(".")}
        raw = OmegaConf.to_container(composed, resolve=False)
        others = [override for override in overrides if override.partition("=")[0] not in keys]
        said = clash(keys, others, self._chooses)
        return not said and all(_names_none_of(text, words) for text in _texts(raw) if "${" in text)

    def _chooses(self, key: str) -> bool:
        if key not in self._groups:
            self._groups[key] = self._is_group(key)
        return self._groups[key]


def _replaced(config: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """A config with another value at a place; what is not on the way there is shared."""
    first, *rest = path
    return config | {first: _replaced(config[first], rest, value) if rest else value}


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _texts(inner)


def _names_none_of(text: str, words: set[str]) -> bool:
    """Whether a text with interpolations surely depends on none of these keys."""
    found = [match.group() for match in FREE.finditer(text)]
    return len(found) == text.count("${") and not words & set(re.findall(r"\w+", " ".join(found)))
