"""A perceptron of units that fire or do not (McCulloch & Pitts 1943; Rosenblatt 1958), which have no useful gradient.

The straight-through estimator (Hinton 2012, lecture 9; Bengio, Leonard & Courville 2013,
https://arxiv.org/abs/1308.3432) lends them one: the step forwards, the identity backwards where inputs are small.
"""

from itertools import pairwise
from math import prod

from torch import Tensor, nn

from hybridopt.core.spec import DataSpec
from hybridopt.toolbox import ranges


class Heaviside(nn.Module):
    """1 where the input is positive, else 0.

    Args:
        straight_through: whether its derivative is that of clamp(x, -1, 1) / 2; else it is 0.
    """

    def __init__(self, straight_through: bool):
        super().__init__()
        self.straight_through = straight_through

    def forward(self, inputs: Tensor) -> Tensor:
        step = (inputs > 0).to(inputs.dtype)
        if not self.straight_through:
            return step
        slope = inputs.clamp(-1, 1) / 2
        return step.detach() + (slope - slope.detach())


def heaviside_mlp(spec: DataSpec, hidden: list[int] = [64], straight_through: bool = True) -> nn.Module:
    """A multi-layer perceptron whose hidden units are steps.

    Args:
        spec: any input shape.
        hidden: the number of units in each hidden layer, from input to output.
        straight_through: whether gradients pass the steps as if they were ramps; without, only the last layer has any.

    Returns:
        A module that maps (B, *input_shape) to (B, output_size).

    Raises:
        ConfigError: there is no hidden layer, or one without units.
    """
    ranges.sizes("model", "write for example model.hidden=[64]", hidden=hidden)
    widths = [prod(spec.input_shape), *hidden]
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), Heaviside(straight_through))]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], spec.output_size))
