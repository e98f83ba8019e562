"""Directions that are spread evenly over the trade-offs (Das & Dennis 1998)."""

from __future__ import annotations

import math

import numpy as np
from pymoo.util.ref_dirs import get_reference_directions


def directions(most: int, objectives: int) -> np.ndarray:
    """The finest lattice of weights that has no more points than this, and one for each objective at least.

    Args:
        most: points.
        objectives: k.

    Returns:
        (n, k), of which each row adds up to 1.
    """
    if objectives == 1:
        return np.ones((1, 1))
    steps = 1
    while math.comb(steps + objectives, objectives - 1) <= most:
        steps += 1
    return get_reference_directions("das-dennis", objectives, n_partitions=steps)
