"""The 0/1 knapsack as an integer program, bounded by Dantzig's relaxation (1957), https://doi.org/10.1287/opre.5.2.266."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint

from hybridopt_combinatorial.exact.proof import OPTIMAL, Clock, Proof, bound_of, solve_milp


def solve(instance: np.ndarray, time_limit: float) -> Proof:
    """Minus the highest value that fits, or a bound on it.

    Args:
        instance: (3, n): values, weights, and the capacity in each place.
        time_limit: seconds.
    """
    (values, weights, (capacity, *_)), clock = instance, Clock(time_limit)
    bound = -fractional(values, weights, capacity)
    if not clock.left:
        return Proof(bound, False)
    result = solve_milp(
        clock,
        c=-values,
        integrality=np.ones_like(values),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(weights[None], -np.inf, capacity),
    )
    if result.status != OPTIMAL:
        return Proof(bound_of(result, bound), False)
    return Proof(-float(values @ result.x.round()), True)


def fractional(values: np.ndarray, weights: np.ndarray, capacity: float) -> float:
    """The highest value where items may be cut: by value per weight, until the knapsack is full."""
    order = np.argsort(-values / weights)
    before = np.cumsum(weights[order]) - weights[order]
    shares = np.clip((capacity - before) / weights[order], 0, 1)
    return float(values[order] @ shares)
