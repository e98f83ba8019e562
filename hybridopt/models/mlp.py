"""The multi-layer perceptron (Rumelhart, Hinton, Williams 1986, https://doi.org/10.1038/323533a0)."""

from itertools import pairwise
from math import prod
from typing import Literal

from torch import nn

from hybridopt.core.spec import DataSpec
from hybridopt.errors import ConfigError, options

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def mlp(
    spec: DataSpec,
    hidden: list[int] = [32],
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"] = "relu",
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
    if not hidden or min(hidden) < 1:
        raise ConfigError(
            f"model.hidden must list at least one layer, each of 1 unit or more, but is {list(hidden)}: "
            "write for example model.hidden=[32,32], or take model=linear for no hidden layer."
        )
    if activation not in ACTIVATIONS:
        raise ConfigError(f"There is no model.activation called {activation!r}.{options(ACTIVATIONS, activation)}")
    widths = [prod(spec.input_shape), *hidden]
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), ACTIVATIONS[activation]())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], spec.output_size))
