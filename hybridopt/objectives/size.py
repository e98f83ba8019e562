"""The memory that the weights of a network take, as one of several objectives."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hybridopt.core.objective import WeightObjective
from hybridopt.engine.trees import Inputs


class Size(WeightObjective):
    """Kilobytes (1000 bytes) of the parameters: all values, or those that are not zero and a bit for each place.

    Each parameter takes whichever is less.
    """

    def of_weights(self, weights: Mapping[str, Tensor], module: nn.Module, inputs: Inputs) -> Tensor:
        """Kilobytes (population,)."""
        return torch.stack([bytes_of(value) for value in weights.values()]).sum(0) / 1000


def bytes_of(value: Tensor) -> Tensor:
    """Of a parameter of each member, (population, \\*shape) -> (population,)."""
    flat, width = value.flatten(1), value.element_size()
    sparse = width * (flat != 0).sum(1) + flat.shape[1] / 8
    return sparse.clamp(max=float(width * flat.shape[1]))
