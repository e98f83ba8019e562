"""The convolutional network that MNIST-1D was published with (Greydanus & Kobak 2020, arXiv 2011.14439)."""

from torch import nn

from hybridopt import ConfigError, DataSpec
from hybridopt.toolbox import ranges


def mnist1d_cnn(spec: DataSpec, channels: int = 25) -> nn.Module:
    """Three convolutions over time, each of half the length before it, and a linear layer.

    Args:
        spec: its input shape is (T,), a sequence of at least 3 values.
        channels: the number of feature maps of each convolution.

    Returns:
        A module that maps (B, T) to (B, output_size).

    Raises:
        ConfigError: the inputs are no sequences of values, or there is no feature map.
    """
    if len(spec.input_shape) != 1 or spec.input_shape[0] < 3:
        raise ConfigError(
            "model=mnist1d_cnn needs sequences (values,) of 3 values or more, but the data set's inputs have the shape "
            f"{tuple(spec.input_shape)}: take model=cnn for images, or model=mlp, which reads any shape."
        )
    ranges.at_least("model", 1, channels=channels)
    length = (spec.input_shape[0] - 3) // 2 + 1
    for _ in range(2):
        length = (length - 1) // 2 + 1
    return nn.Sequential(
        nn.Unflatten(1, (1, spec.input_shape[0])),
        nn.Conv1d(1, channels, kernel_size=5, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv1d(channels, channels, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv1d(channels, channels, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(channels * length, spec.output_size),
    )


mnist1d_cnn.conformance = {"problem": {"dataset": {"name": "mnist1d", "num_samples": 500}}}
