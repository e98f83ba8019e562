"""Simulated annealing: the temperature to begin with."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def initial_temperature(rises: Tensor) -> Tensor:
    """The temperature at which a rise of the median size is accepted with probability 1/2.

    Args:
        rises: (n,) losses of neighbours minus the loss of the current point; failures and ties do not count.

    Returns:
        A scalar in units of the loss; 0 where no neighbour differs.
    """
    sizes = rises.abs()
    sizes = sizes[torch.isfinite(sizes) & (sizes > 0)]
    return sizes.median() / math.log(2) if len(sizes) else rises.new_zeros(())
