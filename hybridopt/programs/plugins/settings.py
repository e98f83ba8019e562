"""A plugin's settings as users write them."""

from __future__ import annotations

from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml

from hybridopt.composition.describe import REQUIRED, Parameter


@dataclass(frozen=True)
class Setting:
    """A setting in words.

    Args:
        name: as users type it.
        type: what it takes.
        default: what it is unless users say otherwise, as they would type it; empty if it must be given.
    """

    name: str
    type: str
    default: str


def setting(parameter: Parameter) -> Setting:
    """The words for a parameter."""
    return Setting(parameter.name, type_of(parameter), default_of(parameter))


def type_of(parameter: Parameter) -> str:
    """Its type: choices one by one, a plugin by its kind."""
    if parameter.nested:
        optional = " | null" if parameter.default is None and parameter.preset is None else ""
        return f"{parameter.nested} by name" if parameter.many else f"{parameter.nested}{optional}"
    if parameter.choices:
        return " | ".join(typed(choice) for choice in parameter.choices)
    return in_words(parameter.type)


def in_words(annotation: Any) -> str:
    """A type as a reader says it: ``list[int]``, ``float | null``."""
    if annotation is Any:
        return "any"
    if annotation is type(None):
        return "null"
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(in_words(argument) for argument in get_args(annotation))
    if get_args(annotation):
        return (
            f"{get_origin(annotation).__name__}[{', '.join(in_words(argument) for argument in get_args(annotation))}]"
        )
    return annotation.__name__


def default_of(parameter: Parameter) -> str:
    """Its default as users would type it."""
    if parameter.preset is not None:
        return parameter.preset if isinstance(parameter.preset, str) else typed(dict(parameter.preset))
    return "" if parameter.default is REQUIRED else typed(parameter.default)


def typed(value: Any) -> str:
    """A plain value as it is typed on the command line: null, true, 1e-08, [1, 2]."""
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    try:
        return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")
    except yaml.YAMLError:  # no plain value, of a plugin that is not made for us
        return str(value)
