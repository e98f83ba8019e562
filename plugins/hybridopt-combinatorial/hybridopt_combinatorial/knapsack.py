"""The 0/1 knapsack: items drawn at random, or a file of values and weights."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hybridopt import DataError, TensorDataModule
from hybridopt.toolbox import ranges
from hybridopt_combinatorial.exact.knapsack import solve
from hybridopt_combinatorial.problem import NO_SPLIT, check_generated, instance_data
from hybridopt_combinatorial.tables import Numbers

LARGEST = 1000  # the largest weight that is drawn


def knapsack(
    path: str | None = None,
    items: int = 50,
    correlation: Literal["none", "weak", "strong"] = "weak",
    fill: float = 0.5,
    instance_seed: int = 0,
    best_known: float | None = None,
    time_limit: float = 60.0,
) -> TensorDataModule:
    """0/1 knapsack: the most valuable items that fit, drawn as Pisinger does or from a file.

    Weights are whole numbers, uniform from 1 to 1000. Values are too, or differ from the weight by at most 100 (weakly
    correlated), or are the weight plus 100 (strongly correlated, the hardest): Pisinger 2005,
    https://doi.org/10.1016/j.cor.2004.03.002.

    Args:
        path: a text file, ``items capacity`` and then a line ``value weight`` for each item; None draws the items.
        items: how many are drawn.
        correlation: of values and weights that are drawn.
        fill: the capacity, as a share of all weights that are drawn.
        instance_seed: fixes the draw.
        best_known: the value that gaps are measured to; None solves for the optimum.
        time_limit: seconds that this may take, after which the gap is measured to a bound.

    Returns:
        One instance (3, items), values, weights, and the capacity in each place, for training, validation and test.

    Raises:
        ConfigError: a setting is out of range.
        DataError: the file cannot be read as a knapsack.
    """
    check_generated(instance_seed, items=(items, 1))
    ranges.share("dataset", "(0, 1]", fill=fill)
    instance = draw(items, correlation, fill, instance_seed) if path is None else read(path)
    known = None if best_known is None else -best_known  # what is minimised is minus the value
    return instance_data("knapsack", instance, instance.shape[1], "logits", solve, time_limit, known)


knapsack.conformance = {"expected_failures": {"splits_disjoint": NO_SPLIT}}


def draw(items: int, correlation: str, fill: float, seed: int) -> np.ndarray:
    """Values, weights and capacity (3, items)."""
    random = np.random.default_rng(seed)
    weights = random.integers(1, LARGEST, items, endpoint=True)
    match correlation:
        case "none":
            values = random.integers(1, LARGEST, items, endpoint=True)
        case "weak":
            values = np.maximum(1, weights + random.integers(-LARGEST // 10, LARGEST // 10, items, endpoint=True))
        case _:
            values = weights + LARGEST // 10
    capacity = max(weights.min(), np.floor(fill * weights.sum()))
    return np.stack([values, weights, np.full(items, capacity)])


def read(path: str) -> np.ndarray:
    """Values, weights and capacity (3, items)."""
    numbers = Numbers(path)
    items = numbers.whole("the number of items")
    capacity = numbers.take(1, "the capacity")[0]
    values, weights = numbers.take(2 * items, f"the values and weights of {items} items").reshape(items, 2).T
    numbers.finish(f"{items} items")
    if not (capacity > 0 and (weights > 0).all() and (values >= 0).all()):
        raise DataError(f"{numbers.file} must have a capacity and weights above 0, and values of 0 or more.")
    if not (values[weights <= capacity] > 0).any():
        raise DataError(f"{numbers.file} has no item of value that fits: raise the capacity.")
    return np.stack([values, weights, np.full(items, capacity)])
