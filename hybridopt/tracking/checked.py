"""Files of a run, read so that each holds what it should, or one sentence says that it does not.

Any process may have damaged a file, and anybody may have edited it: whoever reads one says what shape it must have, and
nothing behind this module meets another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from hybridopt.errors import ResumeError, brief

T = TypeVar("T")

CONFIG_FILE = "config.yaml"  # in a run's directory: the resolved config


def read_checked(path: Path, parse: Callable[[Path], T], remedy: str) -> T:
    """What a file holds.

    Args:
        path: the file.
        parse: reads it, and raises whatever it likes where that is not what it should be.
        remedy: what to do about a file that is damaged, as the end of a sentence.

    Raises:
        ResumeError: it cannot be read, or does not hold what it should.
    """
    try:
        return parse(path)
    except Exception as error:  # parsers of damaged files raise anything
        raise ResumeError(f"{path} is damaged ({complaint(error)}): {remedy}.") from error


def json_of(shape: type[T]) -> Callable[[Path], T]:
    """A parser of a file that holds a value of some type, such as a dataclass, as JSON; what is unknown is left out."""
    return lambda path: _adapter(shape).validate_json(path.read_bytes())


@cache
def _adapter(shape: type) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(shape)


def config_digest(directory: Path) -> str:
    """The SHA-256 of the config in a run's directory, by which other files name the run; empty where it has none."""
    try:
        return hashlib.sha256((directory / CONFIG_FILE).read_bytes()).hexdigest()
    except OSError:
        return ""


def complaint(error: Exception) -> str:
    """What is wrong, in a few words: where, if the error knows the place."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return brief(error)
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"].rstrip(".")
