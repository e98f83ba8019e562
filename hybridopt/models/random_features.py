"""One wide hidden layer, and the inputs beside it: the network of extreme learning machines and functional links.

Random vector functional links: Pao, Park & Sobajic 1994, https://doi.org/10.1016/0925-2312(94)90053-1.
"""

from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from hybridopt.core.spec import DataSpec
from hybridopt.toolbox import ranges

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}


class DirectLink(nn.Module):
    """What a part makes of the inputs (B, n), and the inputs: (B, m + n).

    Args:
        part: maps (B, n) to (B, m).
    """

    def __init__(self, part: nn.Module):
        super().__init__()
        self.part = part

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([self.part(inputs), inputs], dim=-1)


def random_features(
    spec: DataSpec,
    features: int = 500,
    activation: Literal["tanh", "relu", "sigmoid"] = "tanh",
    direct_link: bool = False,
) -> nn.Module:
    """A network of one wide hidden layer, for strategy=extreme_learning_machine.

    Args:
        spec: any input shape.
        features: units of the hidden layer.
        activation: follows it.
        direct_link: whether the last layer sees the inputs too.

    Returns:
        A module that maps (B, *input_shape) to (B, output_size).

    Raises:
        ConfigError: there is no feature.
    """
    ranges.at_least("model", 1, features=features)
    inputs = prod(spec.input_shape)
    hidden = nn.Sequential(nn.Linear(inputs, features), ACTIVATIONS[activation]())
    width = features + inputs if direct_link else features
    layer = DirectLink(hidden) if direct_link else hidden
    return nn.Sequential(nn.Flatten(), layer, nn.Linear(width, spec.output_size))
