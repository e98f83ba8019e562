"""One linear layer: logistic regression or linear regression, depending on the objective."""

from math import prod

from torch import nn

from hybridopt.core.spec import DataSpec


def linear(spec: DataSpec) -> nn.Module:
    """A single linear layer on the flattened input.

    Args:
        spec: any input shape.

    Returns:
        A module that maps (B, *input_shape) to (B, output_size).
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(spec.input_shape), spec.output_size))
