"""Configs of jobs that differ from one another in numbers alone: Hydra composes one of them, the others follow from it.

Hydra takes a tenth of a second for a job, whatever it differs in; a sweep of 5,000 seeds would begin after ten minutes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hybridopt.composition.compose import part_in_place

PLAIN = re.compile(r"(?P<key>[A-Za-z_]\w*(?:\.\w+)*)=(?P<value>true|false|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[-+]?\d+)?)")
FREE = re.compile(r"\$\{oc\.env:[^${}]*\}|\$\{\w+(\.\w+)*\}")  # interpolations that depend on no more than they name


@dataclass
class Template:
    """A job that Hydra has composed.

    Args:
        typed: its config, whose types numbers have to fit.
        plain: the same, resolved.
    """

    typed: DictConfig
    plain: dict[str, Any]

    def with_values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The config of the job that has other numbers.

        Raises:
            OmegaConfBaseException: one does not fit.
        """
        config = self.plain
        for key, value in values.items():
            OmegaConf.update(self.typed, key, value, merge=True)
            config = _replaced(config, key.split("."), OmegaConf.select(self.typed, key))
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
            return template.with_values(dict(self._numbers(overrides)))
        except OmegaConfBaseException:
            return None

    def keep(self, overrides: Sequence[str], composed: DictConfig) -> None:
        """Take a composed config, without Hydra's part, for others to be derived from."""
        rest, keys = self._rest(overrides), [key for key, _ in self._numbers(overrides)]
        if rest not in self._templates:
            alone = bool(keys) and self._independent(composed, keys, overrides)
            plain = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True)) if alone else {}
            self._templates[rest] = Template(composed, plain) if alone else None

    def _numbers(self, overrides: Sequence[str]) -> Iterator[tuple[str, Any]]:
        for override in overrides:
            found = PLAIN.fullmatch(override)
            if found is not None and not (found["key"].startswith("hydra.") or self._chooses(found["key"])):
                yield found["key"], _number(found["value"])

    def _rest(self, overrides: Sequence[str]) -> tuple[str, ...]:
        """What jobs that are derived from one another have in common: all but the numbers."""
        keys = dict(self._numbers(overrides))
        return tuple(key if (key := override.partition("=")[0]) in keys else override for override in overrides)

    def _independent(self, composed: DictConfig, keys: Sequence[str], overrides: Sequence[str]) -> bool:
        """Whether no other value follows from those numbers, and no other override says the same."""
        words = {word for key in keys for word in key.split(".")}
        raw = OmegaConf.to_container(composed, resolve=False)
        others = [o.partition("=")[0].lstrip("+~") for o in overrides if o.partition("=")[0] not in keys]
        values = [other for other in others if not self._chooses(other)]
        said = any(key == other or key.startswith(f"{other}.") for key in keys for other in values)
        return not said and all(_names_none_of(text, words) for text in _texts(raw) if "${" in text)

    def _chooses(self, key: str) -> bool:
        if key not in self._groups:
            self._groups[key] = self._is_group(key)
        return self._groups[key]


def _number(text: str) -> bool | int | float:
    if text in ("true", "false"):
        return text == "true"
    return float(text) if set(text) & set(".e") else int(text)


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
