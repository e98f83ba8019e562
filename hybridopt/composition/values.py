"""Whether plain values are what their settings ask for: of the type, a finite number, one of the choices.

Every plugin's settings pass through here before it is built, a third party's too: no constructor asks for NaN itself.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any, Union, get_args, get_origin

from hybridopt.errors import ConfigError

LARGEST = 3.4028234e38  # of single precision, in which networks compute
LONGEST = 2**63 - 1  # of the whole numbers that torch takes

PLAIN = (int, float, str, list, dict, type(None))
WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}


def check_value(place: str, kind: Any, value: Any) -> None:
    """Refuse a value that is not of a setting's type.

    Args:
        place: dotted, for the message.
        kind: a type as :class:`~hybridopt.composition.describe.Parameter` has it.
        value: plain.

    Raises:
        ConfigError: "strategy.lr must be a number, but is 'fast'."
    """
    if isinstance(value, PLAIN) and not fits(kind, value):  # an object is its author's affair
        raise ConfigError(f"{place} must be {worded(kind)}, but is {value!r}.")


def check_numbers(place: str, value: Any) -> None:
    """Refuse numbers, at whatever depth, that no computation can begin with.

    Raises:
        ConfigError: "strategy.lr must be a finite number, but is nan."
    """
    for path, number in numbers(place, value):
        if not abs(number) <= LARGEST:  # NaN is not
            wanted = "be between -3.4e+38 and 3.4e+38" if abs(number) < float("inf") else "be a finite number"
            raise ConfigError(f"{path} must {wanted}, but is {number:g}.")
        if isinstance(number, int) and abs(number) > LONGEST:
            raise ConfigError(f"{path} must be a whole number of at most 63 bits, but is {number}.")


def numbers(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The numbers in a value, each with its dotted place."""
    if isinstance(value, Real) and not isinstance(value, bool):
        yield place, value
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        yield from numbers(f"{place}.{key}" if place else str(key), item)


def fits(kind: Any, value: Any) -> bool:
    """Whether a value is of a type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(fits(one, value) for one in arguments)
    if origin is list:
        return isinstance(value, list | tuple) and all(fits(arguments[0], item) for item in value)
    if origin is dict:
        return isinstance(value, Mapping) and all(fits(arguments[1], item) for item in value.values())
    return HOLDS.get(kind, _anything)(value)


def worded(kind: Any) -> str:
    """A type in words."""
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(worded(one) for one in get_args(kind))
    return WORDS.get(get_origin(kind) or kind, str(kind))


def _anything(value: Any) -> bool:
    return True


HOLDS: dict[Any, Callable[[Any], bool]] = {
    int: lambda value: isinstance(value, Integral) and not isinstance(value, bool),
    float: lambda value: isinstance(value, Real) and not isinstance(value, bool),
    str: lambda value: isinstance(value, str | os.PathLike),
    bool: lambda value: isinstance(value, bool),
    type(None): lambda value: value is None,
}
