"""What an exact solver has shown."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from scipy.optimize import OptimizeResult, milp

OPTIMAL = 0  # scipy's status; 1 is a limit reached, 2 an infeasible problem


@dataclass(frozen=True)
class Proof:
    """A value that no solution falls below.

    Args:
        bound: in units of the loss.
        optimal: whether a solution attains it.
    """

    bound: float
    optimal: bool


class Clock:
    """Time that is running out.

    Args:
        limit: seconds from now.
    """

    def __init__(self, limit: float):
        self.end = time.monotonic() + limit

    @property
    def left(self) -> float:
        """Seconds, never negative."""
        return max(0.0, self.end - time.monotonic())


def solve_milp(clock: Clock, **problem: Any) -> OptimizeResult:
    """``scipy.optimize.milp`` (HiGHS), to the optimum itself and not to a gap of 0.01 %, while there is time."""
    return milp(**problem, options={"time_limit": max(clock.left, 0.01), "mip_rel_gap": 1e-9})


def bound_of(result: OptimizeResult, known: float) -> float:
    """The better one of the solver's bound, where it has one, and a bound that was known."""
    found = result.mip_dual_bound
    return known if found is None else max(float(found), known)
