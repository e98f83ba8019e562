"""Parameters by their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from torch import Tensor

from hybridopt.errors import ConfigError


def matching(parameters: Mapping[str, Tensor], setting: str, patterns: str | Iterable[str]) -> dict[str, Tensor]:
    """The parameters whose names match a pattern, or one of several, in the order of the model.

    Args:
        parameters: by name.
        setting: where the patterns come from, such as "encoding.pattern".
        patterns: shell-style, such as "*.bias" or ["*.bias", "head.*"].

    Raises:
        ConfigError: a pattern matches no parameter.
    """
    wanted = [patterns] if isinstance(patterns, str) else list(patterns)
    found: set[str] = set()
    for pattern in wanted:
        names = {name for name in parameters if fnmatchcase(name, pattern)}
        if not names:
            raise ConfigError(f"No parameter matches {setting}={pattern!r}: the model has {', '.join(parameters)}.")
        found |= names
    return {name: value for name, value in parameters.items() if name in found}
