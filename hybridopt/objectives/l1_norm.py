"""The mean magnitude of the weights, as one of several objectives: a stand-in for sparsity that has a gradient.

Tibshirani 1996, https://doi.org/10.1111/j.2517-6161.1996.tb02080.x.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from hybridopt.core.objective import WeightObjective
from hybridopt.engine.trees import Inputs


class L1Norm(WeightObjective):
    """The mean of the absolute values of all parameters."""

    differentiable: ClassVar[bool] = True

    def of_weights(self, weights: Mapping[str, Tensor], module: nn.Module, inputs: Inputs) -> Tensor:
        """The mean magnitude (population,)."""
        return torch.cat([value.abs().flatten(1) for value in weights.values()], dim=1).mean(1)
