"""The multi-layer perceptron (Rumelhart, Hinton, Williams 1986, https://doi.org/10.1038/323533a0)."""

from itertools import pairwise
from math import prod
from typing import Literal

from torch import Tensor, nn

from hybridopt.core.spec import DataSpec
from hybridopt.toolbox import ranges


class Sin(nn.Module):
    """The sine, elementwise (Parascandolo, Huttunen & Virtanen 2017, https://openreview.net/forum?id=Sks3zF9eg)."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.sin()


ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "sin": Sin,
}


def mlp(
    spec: DataSpec,
    hidden: list[int] = [32],
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "sin"] = "relu",
) -> nn.Module:
    """A multi-layer perceptron on the flattened input.

    Args:
        spec: any input shape.
        hidden: the number of units in each hidden layer, from input to output.
        activation: follows every hidden layer.

    Returns:
        A module that maps (B, *input_shape) to (B, output_size).

    Raises:
        ConfigError: there is no hidden layer, one without units, or no such activation.
    """
    ranges.sizes(
        "model", "write for example model.hidden=[32,32], or take model=linear for no hidden layer", hidden=hidden
    )
    ranges.one_of("model", ACTIVATIONS, activation=activation)
    widths = [prod(spec.input_shape), *hidden]
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), ACTIVATIONS[activation]())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], spec.output_size))
