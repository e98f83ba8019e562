"""Some of the parameters, by name: the others stay as they are.

Biases alone are often enough to fine-tune (BitFit: Ben Zaken, Ravfogel & Goldberg 2022,
https://arxiv.org/abs/2106.10199): ``encoding.pattern=[*.bias,head.*]``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.toolbox.patterns import matching


class ParameterGroup(Encoding):
    """The parameters whose names match a pattern, one after the other.

    Args:
        pattern: shell-style, such as "*.bias" or "0.*", or a list of patterns of which one must match; empty for the
            last layer, that is all parameters of the module that the last one belongs to.

    Raises:
        ConfigError: no parameter matches, or none matches one of the patterns.
    """

    def __init__(self, pattern: str | list[str] = ""):
        super().__init__()
        self.pattern = pattern

    def attach(self, parameters: Mapping[str, Tensor]) -> int:
        pattern = self.pattern or last_module(list(parameters))
        self.layout = ParameterLayout.of(matching(parameters, "encoding.pattern", pattern))
        return self.layout.dimension

    def begin(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        return self.layout.flatten(parameters)

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        return self.layout.unflatten(z)


def last_module(names: list[str]) -> str:
    """The pattern of all parameters beside the last one."""
    module, dot, _ = names[-1].rpartition(".")
    return f"{module}{dot}*" if dot else names[-1]
