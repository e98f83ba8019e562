"""Overrides that give a setting a plain value, which a composed config takes without being composed again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[-+]?\d+)?")
WORD = re.compile(r"(?!(?:null|inf|nan)\b)[A-Za-z_][\w./+-]*", re.ASCII | re.IGNORECASE)
QUOTED = re.compile(r"'[^'\\$]*'")  # with no interpolation in it, nor anything escaped
LIST = re.compile(r"\[([^\[\]]*)\]")
KEY = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*", re.ASCII)


def assigned(override: str) -> tuple[str, Any] | None:
    """What an override sets, and to which value.

    Args:
        override: as it is typed, such as ``strategy.lr=1e-3``.

    Returns:
        A dotted key and a number, a word, a text or a list of such; None where only Hydra can tell, and of additions.
        A key may also choose from a config group, which its form does not tell.
    """
    key, equals, text = override.partition("=")
    if not equals or not KEY.fullmatch(key):
        return None
    try:
        return key, _value(text)
    except ValueError:
        return None


def clash(keys: Iterable[str], others: Iterable[str], is_group: Callable[[str], bool]) -> bool:
    """Whether other overrides say something of the same settings, so that the order of the two counts.

    Args:
        keys: dotted, of the settings.
        others: overrides; what chooses from a config group comes before all values, wherever it is typed.
        is_group: whether a key chooses from a config group; a mapping in the place of a choice is a value.
    """
    said = [(key.lstrip("+~"), text) for key, _, text in (other.partition("=") for other in others)]
    values = [
        key for key, text in said if text.lstrip().startswith("{") or not ({"/", "@"} & set(key) or is_group(key))
    ]
    return any(f"{a}.".startswith(f"{b}.") or f"{b}.".startswith(f"{a}.") for a in keys for b in values)


def _value(text: str) -> Any:
    """A value as Hydra reads it.

    Raises:
        ValueError: it is none of the plain ones.
    """
    inside = LIST.fullmatch(text)
    if inside is not None:
        return [_single(part.strip()) for part in inside[1].split(",")] if inside[1].strip() else []
    return _single(text)


def _single(text: str) -> bool | int | float | str:
    if NUMBER.fullmatch(text):
        return float(text) if set(text) & set(".e") else int(text)
    if QUOTED.fullmatch(text):
        return text[1:-1]
    if not WORD.fullmatch(text):
        raise ValueError(text)
    return {"true": True, "false": False}.get(text.lower(), text)
