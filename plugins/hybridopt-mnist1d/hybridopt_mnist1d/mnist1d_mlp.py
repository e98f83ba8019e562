"""The multi-layer perceptron that MNIST-1D was published with (Greydanus & Kobak 2020, arXiv 2011.14439)."""

from math import prod

from torch import Tensor, nn

from hybridopt import DataSpec
from hybridopt.toolbox import ranges


def mnist1d_mlp(spec: DataSpec, hidden: int = 100) -> nn.Module:
    """Two hidden layers of ReLU units, of which the second adds to the first.

    Args:
        spec: any input shape.
        hidden: the number of units in each of them.

    Returns:
        A module that maps (B, *input_shape) to (B, output_size).

    Raises:
        ConfigError: there is no unit.
    """
    ranges.at_least("model", 1, hidden=hidden)
    return ResidualPerceptron(prod(spec.input_shape), hidden, spec.output_size)


class ResidualPerceptron(nn.Module):
    """(B, ...) -> (B, outputs).

    Args:
        features: values of a sample.
        hidden: units in each hidden layer.
        outputs: values of the output.
    """

    def __init__(self, features: int, hidden: int, outputs: int):
        super().__init__()
        self.first = nn.Linear(features, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        first = self.first(inputs.flatten(1)).relu()
        return self.output(first + self.second(first).relu())
