"""A perceptron whose weights are -1, 0 or 1, times one number per layer (Li, Zhang & Liu 2016).

https://arxiv.org/abs/1605.04711: a weight is 0 if it is below 0.7 of the layer's mean magnitude, and the number is the
mean magnitude of the others. Gradients go straight through (Bengio, Leonard & Courville 2013,
https://arxiv.org/abs/1308.3432).
"""

from itertools import pairwise
from math import prod

from torch import Tensor, nn
from torch.nn import functional as F

from hybridopt.core.spec import DataSpec
from hybridopt.toolbox import ranges

THRESHOLD = 0.7  # of the mean magnitude


class TernaryLinear(nn.Linear):
    """A linear layer that uses its weight's ternary form.

    Args:
        inputs: their number.
        outputs: their number.
        straight_through: whether the weight's derivative is that of the ternary form; else it is 0.
    """

    def __init__(self, inputs: int, outputs: int, straight_through: bool):
        super().__init__(inputs, outputs)
        self.straight_through = straight_through

    def forward(self, inputs: Tensor) -> Tensor:
        weight = ternary(self.weight).detach()
        if self.straight_through:
            weight = weight + (self.weight - self.weight.detach())
        return F.linear(inputs, weight, self.bias)


def ternary(weight: Tensor) -> Tensor:
    """The nearest of -a, 0, a to each weight, for the layer's own a."""
    size = weight.abs()
    used = (size > THRESHOLD * size.mean()).to(weight.dtype)
    mean = (size * used).sum() / used.sum().clamp(min=1)
    return weight.sign() * used * mean


def ternary_mlp(spec: DataSpec, hidden: list[int] = [64, 32], straight_through: bool = True) -> nn.Module:
    """A multi-layer perceptron of rectified units and ternary weights.

    Args:
        spec: any input shape.
        hidden: the number of units in each hidden layer, from input to output.
        straight_through: whether gradients reach the weights behind the ternary ones; without, only offsets have any.

    Returns:
        A module that maps (B, *input_shape) to (B, output_size).

    Raises:
        ConfigError: there is no hidden layer, or one without units.
    """
    ranges.sizes("model", "write for example model.hidden=[64,32]", hidden=hidden)
    widths = [prod(spec.input_shape), *hidden]
    layers = [layer for a, b in pairwise(widths) for layer in (TernaryLinear(a, b, straight_through), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers, TernaryLinear(widths[-1], spec.output_size, straight_through))
