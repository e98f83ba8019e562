"""The travelling salesman: cities drawn at random, or a TSPLIB file."""

from __future__ import annotations

import numpy as np

from hybridopt import TensorDataModule
from hybridopt_combinatorial.exact.tsp import solve
from hybridopt_combinatorial.problem import NO_SPLIT, check_generated, instance_data
from hybridopt_combinatorial.tsplib import read


def tsp(
    path: str | None = None,
    cities: int = 50,
    instance_seed: int = 0,
    best_known: float | None = None,
    time_limit: float = 60.0,
) -> TensorDataModule:
    """Travelling salesman: the shortest round trip, of cities in the unit square or of a TSPLIB file.

    Args:
        path: a symmetric TSPLIB file (EUC_2D, CEIL_2D, ATT, GEO or EXPLICIT), relative to the working directory; None
            draws the cities uniformly from the unit square.
        cities: how many are drawn.
        instance_seed: fixes the draw.
        best_known: the length that gaps are measured to; None solves for the shortest tour, up to 200 cities.
        time_limit: seconds that this may take, after which the gap is measured to a bound.

    Returns:
        One instance, the distances (cities, cities), for training, validation and test alike.

    Raises:
        ConfigError: a setting is out of range.
        DataError: the file cannot be read as a symmetric TSPLIB problem.
    """
    check_generated(instance_seed, cities=(cities, 2))
    if path is None:
        distances, labels = euclidean(np.random.default_rng(instance_seed).random((cities, 2))), None
    else:
        distances, labels = read(path)
    legend = {"cities": labels or list(range(1, len(distances) + 1))}
    return instance_data("tsp", distances, len(distances), "keys", solve, time_limit, best_known, legend)


tsp.conformance = {"expected_failures": {"splits_disjoint": NO_SPLIT}}


def euclidean(points: np.ndarray) -> np.ndarray:
    """Points (n, 2) -> distances (n, n)."""
    return np.linalg.norm(points[:, None] - points[None], axis=-1)
