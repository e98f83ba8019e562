"""The model of problems without a network: the solution itself."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hybridopt import DataSpec
from hybridopt.toolbox import ranges


class Solution(nn.Module):
    """The solution itself: its numbers are the only parameters, and the outputs, whatever the inputs.

    They are random keys (Bean 1994, https://doi.org/10.1287/ijoc.6.2.154), whose order is a permutation, or logits, as
    the data set says, and are drawn from a normal distribution.

    Args:
        spec: of a combinatorial problem; for another one this is the constant predictor.
        scale: the standard deviation of the parameters, which stands for 1 in the outputs. With 0.1 they are as large
            as a network's weights, for which strategies have their defaults.

    Raises:
        ConfigError: the scale is not positive.
    """

    conformance: ClassVar[dict[str, Any]] = {
        "expected_failures": {"every_input_value_matters": "The outputs are the parameters, whatever the inputs."}
    }

    def __init__(self, spec: DataSpec, scale: float = 0.1):
        super().__init__()
        ranges.positive("model", scale=scale)
        self.scale = scale
        self.parameter = getattr(spec, "parameter", "outputs")
        self.register_parameter(self.parameter, nn.Parameter(scale * torch.randn(spec.output_size)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, ...), whose number alone counts -> (B, output_size)."""
        values = getattr(self, self.parameter) / self.scale
        return values.expand(len(inputs), len(values))
