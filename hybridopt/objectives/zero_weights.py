"""The share of weights that a network keeps, to be lowered: sparsity as one of several objectives."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from hybridopt.core.objective import WeightObjective
from hybridopt.engine.trees import Inputs
from hybridopt.engine.weights import weights_of
from hybridopt.toolbox.ranges import at_least


class ZeroWeights(WeightObjective):
    """1 - the share of weights that are zero; weights are the parameters with two or more dimensions.

    Without ``below`` it is moved by what makes exact zeros: ``encoding=supermask``, lottery tickets, pruning.

    Args:
        below: a weight counts as zero up to this magnitude; it stays in the network as it is.

    Raises:
        ConfigError: the network has no weight, or one that is computed from other parameters.
    """

    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __init__(self, below: float = 0.0):
        super().__init__()
        at_least("objective", 0, below=below)
        self.below = below

    def of_weights(self, weights: Mapping[str, Tensor], module: nn.Module, inputs: Inputs) -> Tensor:
        """The share (population,) of weights whose magnitude is above ``below``."""
        masked = weights_of({name: value[0] for name, value in weights.items()})
        kept = torch.cat([(weights[name].abs() > self.below).flatten(1) for name in masked], dim=1)
        return kept.float().mean(1)
