"""Refuse settings that are out of range: one sentence for each setting, ``part.setting must be this, but is that``.

Each helper takes the part of the config that the settings belong to ("strategy", "model", ...), what they must be, and
the settings by keyword. ``None`` stands for a setting that is not set. NaN and infinity are refused everywhere.
Settings at the top of a job, such as ``seed``, belong to the part "".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from hybridopt.errors import ConfigError, suggestion

Interval = Literal["(0, 1)", "(0, 1]", "[0, 1)", "[0, 1]"]


def positive(part: str, /, **settings: float | None) -> None:
    """Refuse what is no positive number.

    Raises:
        ConfigError: "strategy.sigma must be a positive number, but is -1."
    """
    for name, value in settings.items():
        if value is not None and not (_finite(value) and value > 0):
            raise _refusal(part, name, "be a positive number", value)


def finite(part: str, /, **settings: float | None) -> None:
    """Refuse NaN and infinity.

    Raises:
        ConfigError: "strategy.bias must be a finite number, but is nan."
    """
    for name, value in settings.items():
        if value is not None and not _finite(value):
            raise _refusal(part, name, "be a finite number", value)


def at_least(part: str, least: float, /, **settings: float | None) -> None:
    """Refuse what is below a number.

    Raises:
        ConfigError: "strategy.popsize must be at least 2, but is 1."
    """
    _check(part, f"be at least {_shown(least)}", lambda value: value >= least, settings)


def amount(part: str, most: float, /, **settings: float | None) -> None:
    """Refuse what is not positive, or above a number.

    Raises:
        ConfigError: "budget.forwards must be at most 1e+18, but is 1e+30."
    """
    positive(part, **settings)
    _check(part, f"be at most {_shown(most)}", lambda value: value <= most, settings)


def word_or_whole(part: str, word: str, least: int, most: int, /, **settings: int | str | None) -> None:
    """Refuse what is neither this word nor a whole number between two others.

    Raises:
        ConfigError: "threads must be auto or a whole number between 1 and 1024, but is 'all'."
    """
    for name, value in settings.items():
        fits = value == word if isinstance(value, str) else value is None or least <= value <= most
        if not fits:
            raise _refusal(part, name, f"be {word} or a whole number between {least} and {most}", value)


def workers(part: str, most: int, /, **settings: Any) -> None:
    """Refuse numbers of devices below 1 or above a number; -1 is all there are, a list or a text names some.

    Raises:
        ConfigError: "trainer.devices must be auto, -1, or a whole number between 1 and 4096, but is 0."
    """
    for name, value in settings.items():
        number = len(value) if isinstance(value, list) else value
        if not isinstance(number, str) and number not in (-1, None) and not 1 <= number <= most:
            raise _refusal(part, name, f"be auto, -1, or a whole number between 1 and {most}", value)


def steps(part: str, most: int, /, **settings: int) -> None:
    """Refuse numbers of steps below 1 or above a number; -1 stands for no limit.

    Raises:
        ConfigError: "trainer.max_steps must be -1 or a whole number between 1 and 1000, but is 0."
    """
    for name, value in settings.items():
        if value != -1 and not 1 <= value <= most:
            raise _refusal(part, name, f"be -1 or a whole number between 1 and {most}", value)


def named(part: str, most: int, /, **settings: str | None) -> None:
    """Refuse what is no name: empty, too long, or with characters that cannot be printed.

    Raises:
        ConfigError: "tracking.experiment must be a name of 1 to 250 printable characters, but is ''."
    """
    for name, value in settings.items():
        if value is not None and not (value.strip() and len(value) <= most and value.isprintable()):
            raise _refusal(part, name, f"be a name of 1 to {most} printable characters", value)


def even(part: str, reason: str, /, **settings: int) -> None:
    """Refuse what is odd, or below 2.

    Args:
        part: of the config.
        reason: why, such as "samples come in mirrored pairs".
        settings: the values, by name.

    Raises:
        ConfigError: "strategy.popsize must be even and at least 2, since samples come in mirrored pairs, but is 3."
    """
    for name, value in settings.items():
        if value < 2 or value % 2:
            raise _refusal(part, name, f"be even and at least 2, since {reason}", value)


def between(part: str, least: float, most: float, /, **settings: float | None) -> None:
    """Refuse what is below a number or above another one.

    Raises:
        ConfigError: "dataset.channels must be between 1 and 3, but is 4."
    """
    _check(part, f"be between {_shown(least)} and {_shown(most)}", lambda value: least <= value <= most, settings)


def share(part: str, interval: Interval, /, **settings: float | None) -> None:
    """Refuse what is no share of a whole.

    Args:
        part: of the config.
        interval: the shares there may be; a round bracket leaves that end out.
        settings: the values, by name.

    Raises:
        ConfigError: "strategy.momentum must lie in [0, 1), but is 1."
    """
    above = (lambda value: value >= 0) if interval[0] == "[" else (lambda value: value > 0)
    below = (lambda value: value <= 1) if interval[-1] == "]" else (lambda value: value < 1)
    _check(part, f"lie in {interval}", lambda value: above(value) and below(value), settings)


def one_of(part: str, choices: Iterable[Any], /, **settings: Any) -> None:
    """Refuse what is none of the choices.

    Raises:
        ConfigError: "strategy.covariance must be one of full, diagonal, but is 'half'."
    """
    known = list(choices)
    listed = ", ".join(map(str, known))
    for name, value in settings.items():
        if value is not None and value not in known:
            similar = suggestion(map(str, known), str(value))
            raise ConfigError(f"{_place(part, name)} must be one of {listed}, but is {value!r}.{similar}")


def each_of(part: str, choices: Iterable[Any], /, **settings: Sequence[Any]) -> None:
    """Refuse lists that are empty, or hold what is none of the choices.

    Raises:
        ConfigError: "strategy.moves must list one or more of two_opt, swap, but has 'swop'. Did you mean 'swap'?"
    """
    known = list(choices)
    wanted = f"list one or more of {', '.join(map(str, known))}"
    for name, values in settings.items():
        if not values:
            raise ConfigError(f"{_place(part, name)} must {wanted}, but is {list(values)}.")
        for value in values:
            if value not in known:
                similar = suggestion(map(str, known), str(value))
                raise ConfigError(f"{_place(part, name)} must {wanted}, but has {value!r}.{similar}")


def sizes(part: str, remedy: str, /, **settings: Sequence[int]) -> None:
    """Refuse lists of sizes that are empty, or hold one below 1.

    Args:
        part: of the config.
        remedy: what to type instead, such as "write for example model.hidden=[64,32]".
        settings: the lists, by name.

    Raises:
        ConfigError: "model.hidden must list at least one size, each at least 1, but is []: write for example
            model.hidden=[64,32]."
    """
    for name, values in settings.items():
        if not values or not all(_finite(value) and value >= 1 for value in values):
            raise ConfigError(
                f"{_place(part, name)} must list at least one size, each at least 1, but is {list(values)}: {remedy}."
            )


def _check(part: str, wanted: str, holds: Callable[[float], bool], settings: dict[str, float | None]) -> None:
    finite(part, **settings)
    for name, value in settings.items():
        if value is not None and not holds(value):
            raise _refusal(part, name, wanted, value)


def _place(part: str, name: str) -> str:
    return f"{part}.{name}" if part else name


def _refusal(part: str, name: str, wanted: str, value: Any) -> ConfigError:
    return ConfigError(f"{_place(part, name)} must {wanted}, but is {_shown(value)}.")


def _finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)  # a whole number may be too large for math.isfinite


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
