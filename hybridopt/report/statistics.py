"""Intervals, tests and effect sizes; the seed is the unit.

Formulas are scipy's and statsmodels'. Sources: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", https://arxiv.org/abs/2108.13264 (interquartile mean, stratified bootstrap, performance
profiles, probability of improvement); Hansen et al. 2021, "COCO", https://doi.org/10.1080/10556788.2020.1808977
(expected running time); Demsar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets",
https://jmlr.org/papers/v7/demsar06a.html; Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953; Holm 1979,
https://www.jstor.org/stable/4615733; Cliff 1993, https://doi.org/10.1037/0033-2909.114.3.494.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

LEVEL = 0.05  # of tests; intervals are of 95 %
POWER = 0.8  # that the number of seeds which would be needed is to give
PLAIN = 3.0  # standard deviations: a mean difference beyond needs no more pairs than the test itself
RESAMPLES = 2000
WILCOXON_EFFICIENCY = 3 / math.pi  # of the signed-rank test to the t-test, for normal differences


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval; its ends are NaN where one value cannot give them."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Paired:
    """How strategy a differs from b, over seeds that both have.

    Args:
        n: pairs.
        difference: the median of a - b, with its interval.
        p: of Wilcoxon's signed-rank test, two-sided; corrected by Holm where several are made.
        delta: Cliff's delta, from -1 to 1; above 0, a's values are higher.
        improvement: the probability that a run of a is better than a run of b; ties count half.
        needed: pairs at which a difference like this one is found with a power of 80 %; None where there is none.
    """

    n: int
    difference: Interval
    p: float
    delta: float
    improvement: float
    needed: int | None


def bootstrap(statistic: Callable[..., Any], *samples: Sequence[float] | np.ndarray) -> Interval:
    """The statistic of some samples, with a percentile interval; each sample is resampled by itself (stratified).

    Args:
        statistic: takes the samples and an ``axis``.
        samples: values of one stratum each.
    """
    from scipy import stats

    arrays = [np.asarray(sample, dtype=float) for sample in samples]
    value = float(statistic(*arrays, axis=-1))
    if min(len(array) for array in arrays) < 2 or all(np.ptp(array) == 0 for array in arrays):
        spread = math.nan if min(len(array) for array in arrays) < 2 else value
        return Interval(value, spread, spread)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of degenerate resamples
        found = stats.bootstrap(
            arrays,
            statistic,
            n_resamples=RESAMPLES,
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(0),  # the same runs give the same report
        ).confidence_interval
    return Interval(value, float(found.low), float(found.high))


def median(values: Sequence[float] | np.ndarray) -> Interval:
    """The median."""
    return bootstrap(lambda sample, axis: np.median(sample, axis=axis), values)


def interquartile_mean(samples: Sequence[Sequence[float]]) -> Interval:
    """The mean of the middle half of all values, of which each data set's are a stratum."""
    from scipy import stats

    def statistic(*arrays: np.ndarray, axis: int) -> np.ndarray:
        return stats.trim_mean(np.concatenate(arrays, axis=axis), 0.25, axis=axis)

    return bootstrap(statistic, *samples)


def success_rate(successes: int, runs: int) -> Interval:
    """The share of successes, with Wilson's interval."""
    from scipy import stats

    found = stats.binomtest(successes, runs).proportion_ci(method="wilson")
    return Interval(successes / runs, float(found.low), float(found.high))


def expected_running_time(costs: Sequence[float], reached: Sequence[bool]) -> Interval:
    """ERT: all that the runs have spent until they reached the target, or in vain, over the number of those that did.

    Args:
        costs: of each run, until the target or its end.
        reached: whether it got there.

    Returns:
        Infinite where no run has reached it.
    """
    spent, hits = np.asarray(costs, dtype=float), np.asarray(reached, dtype=float)
    if not hits.any():
        return Interval(math.inf, math.inf, math.inf)
    value = float(spent.sum() / hits.sum())
    if len(spent) < 2:
        return Interval(value)
    chosen = np.random.default_rng(0).integers(len(spent), size=(RESAMPLES, len(spent)))
    with np.errstate(divide="ignore"):
        resampled = spent[chosen].sum(axis=1) / hits[chosen].sum(axis=1)
    low, high = np.quantile(resampled, [LEVEL / 2, 1 - LEVEL / 2], method="closest_observation")
    return Interval(value, float(low), float(high))


def paired(a: Mapping[str, float], b: Mapping[str, float], higher: bool, level: float = LEVEL) -> Paired | None:
    """Compare two strategies over the seeds that both have; None where they have no seed in common.

    Args:
        a, b: values by seed.
        higher: whether more is better.
        level: of the test, for the number of pairs that would be needed.
    """
    from scipy import stats

    seeds = [seed for seed in a if seed in b]
    if not seeds:
        return None
    x, y = (np.array([values[seed] for seed in seeds], dtype=float) for values in (a, b))
    differences = x - y
    p = 1.0
    if differences.any():
        p = float(cast(Any, stats.wilcoxon(differences, method="auto")).pvalue)
    wins = float(stats.mannwhitneyu(x, y).statistic) / len(seeds) ** 2
    return Paired(
        len(seeds), median(differences), p, 2 * wins - 1, wins if higher else 1 - wins, pairs_needed(differences, level)
    )


def holm(ps: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979)."""
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in cast(np.ndarray, multipletests(ps, method="holm")[1])] if ps else []


def pairs_needed(differences: np.ndarray, level: float = LEVEL) -> int | None:
    """Pairs at which Wilcoxon's test finds a difference of this size and spread with a power of 80 %.

    By the power of the t-test, and the efficiency of Wilcoxon's relative to it for normal differences; at least as many
    as the test needs to be able to say anything at the level.
    """
    from statsmodels.stats.power import TTestPower

    spread = float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
    mean = float(np.mean(differences))
    if mean == 0 or (spread == 0 and len(differences) < 2):
        return None
    floor = fewest_pairs(level)
    if abs(mean) > PLAIN * spread:
        return floor
    wanted = TTestPower().solve_power(effect_size=abs(mean) / spread, alpha=level, power=POWER)
    return max(floor, math.ceil(float(np.ravel(wanted)[0]) / WILCOXON_EFFICIENCY))


def fewest_pairs(level: float) -> int:
    """The number of pairs below which Wilcoxon's two-sided test can never reach the level: its least p is 2 / 2^n."""
    return math.ceil(1 - math.log2(level))
