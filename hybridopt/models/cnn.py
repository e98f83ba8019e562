"""A convolutional network after LeNet-5 (LeCun, Bottou, Bengio, Haffner 1998, https://doi.org/10.1109/5.726791).

Its plan is LeNet's (convolution and pooling in turn, then dense layers), its parts are today's: ReLU for tanh, maxima
for learned averages, padded 3x3 kernels so that images of 8x8 pixels are large enough.
"""

from itertools import pairwise
from typing import Literal

from torch import nn

from hybridopt.core.spec import DataSpec
from hybridopt.errors import ConfigError
from hybridopt.toolbox import ranges

SMALLEST = 8  # pixels per side
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def cnn(
    spec: DataSpec,
    channels: list[int] = [6, 16],
    hidden: int = 64,
    activation: Literal["relu", "tanh", "sigmoid"] = "relu",
) -> nn.Module:
    """A small convolutional network after LeNet-5, for images.

    Args:
        spec: its input shape is (C, H, W) with H and W of at least 8.
        channels: the number of feature maps of each stage; a stage halves height and width.
        hidden: the number of units in the dense layer before the output.
        activation: follows every layer but the last.

    Returns:
        A module that maps (B, C, H, W) to (B, output_size).

    Raises:
        ConfigError: the input is no image or too small a one, a size is not positive, or there is no such activation.
    """
    ranges.one_of("model", ACTIVATIONS, activation=activation)
    between = ACTIVATIONS[activation]
    _check_input(spec.input_shape)
    _check_sizes(channels, hidden, min(spec.input_shape[1:]))
    depth, height, width = spec.input_shape
    stages = [layer for a, b in pairwise([depth, *channels]) for layer in _stage(a, b, between)]
    features = channels[-1] * (height >> len(channels)) * (width >> len(channels))
    head = [nn.Flatten(), nn.Linear(features, hidden), between(), nn.Linear(hidden, spec.output_size)]
    return nn.Sequential(*stages, *head)


def _stage(before: int, after: int, between: type[nn.Module]) -> list[nn.Module]:
    return [nn.Conv2d(before, after, kernel_size=3, padding=1), between(), nn.MaxPool2d(2)]


def _check_input(shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or min(shape[1:]) < SMALLEST:
        raise ConfigError(
            f"model=cnn needs images of shape (channels, height, width) with at least {SMALLEST}x{SMALLEST} pixels, "
            f"but the data set's inputs have the shape {tuple(shape)}: take model=mlp or model=linear, "
            "which read any shape."
        )


def _check_sizes(channels: list[int], hidden: int, side: int) -> None:
    most = side.bit_length() - 1
    if not 1 <= len(channels) <= most or min(channels) < 1:
        raise ConfigError(
            f"model.channels must list 1 to {most} stages (each halves the {side} pixels of the shorter side), each of "
            f"1 feature map or more, but is {list(channels)}: write for example model.channels=[6,16]."
        )
    ranges.at_least("model", 1, hidden=hidden)
