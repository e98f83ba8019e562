"""Set partitioning with a price for flights that are not flown once, as an integer program."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog
from scipy.sparse import csr_array, eye_array, hstack

from hybridopt_combinatorial.exact.proof import OPTIMAL, Clock, Proof, bound_of, solve_milp


def solve(instance: np.ndarray, time_limit: float) -> Proof:
    """The lowest cost, or a bound on it.

    Args:
        instance: (1 + flights, pairings + 1): costs, then which pairing flies which flight; the last column is the
            penalty.
        time_limit: seconds.
    """
    clock, costs, penalty, flown = Clock(time_limit), instance[0, :-1], instance[0, -1], instance[1:, :-1]
    flights, pairings = flown.shape
    slack = eye_array(flights)  # a flight uncovered; a flight covered once too often
    rows = csr_array(hstack([csr_array(flown), slack, -slack]))
    cost = np.concatenate([costs, np.full(2 * flights, penalty)])
    upper = np.where(np.arange(len(cost)) < pairings, 1, np.inf)
    relaxed = linprog(cost, A_eq=rows, b_eq=np.ones(flights), bounds=np.column_stack([np.zeros_like(cost), upper]))
    bound = float(relaxed.fun)
    if not clock.left:
        return Proof(bound, False)
    result = solve_milp(
        clock,
        c=cost,
        integrality=np.arange(len(cost)) < pairings,
        bounds=Bounds(0, upper),
        constraints=LinearConstraint(rows, 1, 1),
    )
    if result.status != OPTIMAL:
        return Proof(bound_of(result, bound), False)
    chosen = result.x[:pairings].round()
    return Proof(float(costs @ chosen + penalty * np.abs(flown @ chosen - 1).sum()), True)
