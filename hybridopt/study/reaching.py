"""Whether and when runs reach a target: success rates, expected costs, and tests for budgets that are cut off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridopt.core.study import Outcome
from hybridopt.report import statistics
from hybridopt.report.interval import LEVEL, Interval


@dataclass(frozen=True)
class Reached:
    """The costs of some runs until they reach a target.

    Args:
        costs: forwards until the first mark at which it is reached, or all that was spent in vain.
        reached: whether it was.
    """

    costs: tuple[float, ...]
    reached: tuple[bool, ...]

    @property
    def success(self) -> Interval:
        """The share of runs that reach it, with Wilson's interval."""
        return statistics.success_rate(sum(self.reached), len(self.reached))

    @property
    def expected(self) -> Interval:
        """ERT: all that was spent over the number of runs that reach it."""
        return statistics.expected_running_time(self.costs, self.reached)


def reach(runs: Sequence[Outcome], target: float, higher: bool = False) -> Reached:
    """When runs reach a target, by their curves.

    Args:
        runs: with a curve each.
        target: of the curve's metric.
        higher: whether more of it is better.
    """
    found = [
        next((cost for cost, value in run.curve if (value >= target if higher else value <= target)), None)
        for run in runs
    ]
    spent = [run.curve[-1][0] if run.curve else run.metrics.get("cost/forwards", math.nan) for run in runs]
    costs = (end if cost is None else cost for cost, end in zip(found, spent, strict=True))
    return Reached(tuple(costs), tuple(cost is not None for cost in found))


def log_rank(a: Reached, b: Reached) -> float:
    """The p of equal costs to the target, where runs that never reach it are censored at their end.

    Mantel 1966, by scipy. 1 where no run of either reaches it.
    """
    from scipy import stats

    if not any((*a.reached, *b.reached)):
        return 1.0
    samples = [
        stats.CensoredData(
            uncensored=[cost for cost, hit in zip(each.costs, each.reached, strict=True) if hit],
            right=[cost for cost, hit in zip(each.costs, each.reached, strict=True) if not hit],
        )
        for each in (a, b)
    ]
    with np.errstate(invalid="ignore"):  # of runs that all arrive at one mark
        p = float(stats.logrank(x=samples[0], y=samples[1]).pvalue)
    return 1.0 if math.isnan(p) else p


def ratio(a: Reached, b: Reached) -> Interval:
    """How many times the expected cost of b that of a is, with a bootstrap interval over the runs of each.

    Infinite where no run of a reaches the target, NaN where none of b does.
    """
    if not any(b.reached):
        return Interval(math.nan)
    if not any(a.reached):
        return Interval(math.inf)
    value = a.expected.value / b.expected.value
    fewest = min(len(a.costs), len(b.costs))
    if fewest < 2:
        return Interval(value)
    generator = np.random.default_rng(0)  # the same results give the same page
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = _resampled(a, generator) / _resampled(b, generator)
    tail = statistics.expanded(LEVEL / 2, fewest)
    low, high = np.quantile(drawn[~np.isnan(drawn)], [tail, 1 - tail], method="closest_observation")
    return Interval(value, float(low), float(high))


def _resampled(each: Reached, generator: np.random.Generator) -> np.ndarray:
    """Expected costs of resampled runs; infinite where none of them reaches the target."""
    chosen = generator.integers(len(each.costs), size=(statistics.RESAMPLES, len(each.costs)))
    return np.array(each.costs)[chosen].sum(axis=1) / np.array(each.reached, dtype=float)[chosen].sum(axis=1)
