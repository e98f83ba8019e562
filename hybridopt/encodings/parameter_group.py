"""Some of the parameters, by name: the others stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.errors import ConfigError


class ParameterGroup(Encoding):
    """The parameters whose names match a pattern, one after the other.

    Args:
        pattern: shell-style, such as "*.bias" or "0.*"; empty for the last layer, that is all parameters of the module
            that the last one belongs to.

    Raises:
        ConfigError: no parameter matches.
    """

    def __init__(self, pattern: str = ""):
        super().__init__()
        self.pattern = pattern

    def attach(self, parameters: Mapping[str, Tensor]) -> int:
        pattern = self.pattern or last_module(list(parameters))
        chosen = {name: value for name, value in parameters.items() if fnmatchcase(name, pattern)}
        if not chosen:
            raise ConfigError(
                f"No parameter matches encoding.pattern={self.pattern!r}: the model has {', '.join(parameters)}."
            )
        self.layout = ParameterLayout.of(chosen)
        return self.layout.dimension

    def begin(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        return self.layout.flatten(parameters)

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        return self.layout.unflatten(z)


def last_module(names: list[str]) -> str:
    """The pattern of all parameters beside the last one."""
    module, dot, _ = names[-1].rpartition(".")
    return f"{module}{dot}*" if dot else names[-1]
