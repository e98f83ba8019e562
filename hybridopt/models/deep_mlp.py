"""Deep perceptrons of equal layers, plain or with what made them trainable: orthogonal weights, residual connections.

- Plain ones lose their gradient on the way: Glorot & Bengio 2010, https://proceedings.mlr.press/v9/glorot10a.html
- Orthogonal weights: Saxe, McClelland & Ganguli 2014, https://arxiv.org/abs/1312.6120
- Residual connections: He, Zhang, Ren & Sun 2016, https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

from math import prod
from typing import Literal

from torch import Tensor, nn

from hybridopt.core.spec import DataSpec
from hybridopt.toolbox import ranges

ACTIVATIONS = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}
GAINS = {"tanh": 1.0, "sigmoid": 4.0, "relu": 2**0.5}  # by which a small signal keeps its size: 1 / slope at 0


def deep_mlp(
    spec: DataSpec,
    depth: int = 10,
    width: int = 32,
    activation: Literal["tanh", "sigmoid", "relu"] = "tanh",
    initialisation: Literal["default", "orthogonal"] = "default",
    residual: bool = False,
) -> nn.Module:
    """A multi-layer perceptron of many equal hidden layers on the flattened input.

    Args:
        spec: any input shape.
        depth: hidden layers.
        width: units of each.
        activation: follows every hidden layer.
        initialisation: "default" is that of torch's linear layers, whose signal dies out with depth; "orthogonal" draws
            orthogonal matrices, of the gain at which a small signal keeps its size, and no biases.
        residual: whether each hidden layer but the first is added to its input.

    Returns:
        A module that maps (B, \\*input_shape) to (B, output_size).

    Raises:
        ConfigError: there is no layer or unit, no such activation, or no such initialisation.
    """
    ranges.at_least("model", 1, depth=depth, width=width)
    ranges.one_of("model", ACTIVATIONS, activation=activation)
    ranges.one_of("model", ("default", "orthogonal"), initialisation=initialisation)
    return DeepMLP(prod(spec.input_shape), depth, width, spec.output_size, activation, initialisation, residual)


class DeepMLP(nn.Module):
    """Equal layers.

    Args:
        inputs: values of a sample.
        depth: hidden layers.
        width: units of each.
        outputs: values of the output.
        activation: a key of :data:`ACTIVATIONS`.
        initialisation: "default" or "orthogonal".
        residual: whether each hidden layer but the first is added to its input.
    """

    def __init__(
        self, inputs: int, depth: int, width: int, outputs: int, activation: str, initialisation: str, residual: bool
    ):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.output = nn.Linear(width, outputs)
        self.activation, self.residual = ACTIVATIONS[activation](), residual
        if initialisation == "orthogonal":
            layers = [layer for layer in self.modules() if isinstance(layer, nn.Linear)]
            for layer in layers:
                nn.init.orthogonal_(layer.weight, gain=GAINS[activation] if layer is not self.output else 1.0)
                nn.init.zeros_(layer.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        values = self.activation(self.first(inputs.flatten(1)))
        for layer in self.hidden:
            passed = self.activation(layer(values))
            values = values + passed if self.residual else passed
        return self.output(values)
