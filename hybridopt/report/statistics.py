"""Intervals, tests and effect sizes; the seed is the unit.

Formulas are scipy's and statsmodels'. Sources: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", https://arxiv.org/abs/2108.13264 (interquartile mean, stratified bootstrap, performance
profiles, probability of improvement); Hansen et al. 2021, "COCO", https://doi.org/10.1080/10556788.2020.1808977
(expected running time); Demsar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets",
https://jmlr.org/papers/v7/demsar06a.html; Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953; Holm 1979,
https://www.jstor.org/stable/4615733; Cliff 1993, https://doi.org/10.1037/0033-2909.114.3.494.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from hybridopt.report.interval import LEVEL, Interval
from hybridopt.report.means import least_p, mean_difference, paired_differences, resolution, spread

POWER = 0.8  # that the number of seeds which would be needed is to give
PLAIN = 10.0  # standard deviations: a mean difference beyond needs no more pairs than the test itself
MANY = 100_000  # pairs, more than anybody will run
RESAMPLES = 2000
INTERVAL = 5  # values whose range holds their median in 94 of 100 cases


@dataclass(frozen=True)
class Paired:
    """How strategy a differs from b, over seeds that both have.

    Args:
        n: pairs.
        a, b: the means over them.
        difference: the mean of a - b, with its interval; NaN where ranks are compared, since runs have diverged.
        p: that the mean difference is 0, two-sided; not corrected for the number of pairs.
        delta: Cliff's delta, from -1 to 1; above 0, a's values are higher.
        improvement: the probability that a run of a is better than a run of b; ties count half.
        spread: the standard deviation of the differences, their resolution included; NaN as the difference.
        level: of the test, for the number of pairs that are compared.
    """

    n: int
    a: float
    b: float
    difference: Interval
    p: float
    delta: float
    improvement: float
    spread: float
    level: float

    @property
    def by_ranks(self) -> bool:
        """Whether ranks are compared, since there is no mean."""
        return math.isnan(self.difference.value)

    @property
    def needed(self) -> int | None:
        """Pairs at which a difference like this one is found with a power of 80 %; None where there is none."""
        plain = self.n > 1 and not self.by_ranks
        return pairs_needed(self.difference.value, self.spread, self.level) if plain else None

    @property
    def detectable(self) -> float | None:
        """The difference that is found with a power of 80 %; None beyond all measure, or where there is no mean."""
        return None if self.by_ranks else detectable(self.n, self.spread, self.level)


def bootstrap(statistic: Callable[..., Any], *samples: Sequence[float] | np.ndarray) -> Interval:
    """The statistic of some samples, with a percentile interval; each sample is resampled by itself (stratified).

    Percentiles are those further out that give the interval of a mean the width of Student's (Hesterberg 2015, section
    5.3, https://doi.org/10.1080/00031305.2015.1089789): the plain ones are too narrow for few values.

    Args:
        statistic: takes the samples and an ``axis``.
        samples: values of one stratum each.
    """
    from scipy import stats

    arrays = [np.asarray(sample, dtype=float) for sample in samples]
    value = float(statistic(*arrays, axis=-1))
    fewest = min(len(array) for array in arrays)
    if fewest < 2 or all(np.ptp(array) == 0 for array in arrays):
        spread = math.nan if fewest < 2 else value
        return Interval(value, spread, spread)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of degenerate resamples
        found = stats.bootstrap(
            arrays,
            statistic,
            n_resamples=RESAMPLES,
            vectorized=True,
            method="percentile",
            confidence_level=1 - 2 * expanded(LEVEL / 2, fewest),
            rng=np.random.default_rng(0),  # the same runs give the same report
        ).confidence_interval
    return Interval(value, float(found.low), float(found.high))


def expanded(tail: float, n: int) -> float:
    """The share of a bootstrap distribution to leave out at one end, for this tail of the estimate's."""
    from scipy import stats

    return max(1 / RESAMPLES, float(stats.norm.cdf(math.sqrt(n / (n - 1)) * stats.t.ppf(tail, n - 1))))


def median(values: Sequence[float] | np.ndarray) -> Interval:
    """The median, with an interval between order statistics, whatever the distribution.

    Interpolated as by Hettmansperger & Sheather 1986, https://doi.org/10.1016/0167-7152(86)90021-0; of five values it
    is their range, and of fewer there is none.
    """
    from scipy.stats import mstats

    sample = np.asarray(values, dtype=float)
    value = float(np.median(sample))
    if len(sample) < INTERVAL or not np.isfinite(sample).all():
        return Interval(value)
    if len(sample) == INTERVAL:
        return Interval(value, float(sample.min()), float(sample.max()))
    low, high = mstats.median_cihs(sample, LEVEL)
    return Interval(value, float(low), float(high))


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
    tail = expanded(LEVEL / 2, len(spent))
    low, high = np.quantile(resampled, [tail, 1 - tail], method="closest_observation")
    return Interval(value, float(low), float(high))


def paired(
    a: Mapping[str, float], b: Mapping[str, float], higher: bool, tests: int = 1, by_ranks: bool = False
) -> Paired | None:
    """Compare two strategies over the seeds that both have; None where they have no seed in common.

    Args:
        a, b: values by seed.
        higher: whether more is better.
        tests: how many pairs are compared in all, for which p-values are corrected afterwards.
        by_ranks: whether only the order of values means something, as where runs have diverged and stand last: then
            the test is of their ranks among all values of both (Conover & Iman 1981,
            https://doi.org/10.1080/00031305.1981.10479327).
    """
    from scipy.stats import rankdata

    seeds = [seed for seed in a if seed in b]
    if not seeds:
        return None
    x, y = (np.array([values[seed] for seed in seeds], dtype=float) for values in (a, b))
    level = LEVEL / tests
    first, second = rankdata(np.concatenate([x, y])).reshape(2, -1) if by_ranks else (x, y)
    p, interval = mean_difference(first, second, level)
    wins = float(np.mean((x[:, None] > y) + (x[:, None] == y) / 2))
    return Paired(
        n=len(seeds),
        a=float(x.mean()),
        b=float(y.mean()),
        difference=Interval(math.nan) if by_ranks else interval,
        p=p,
        delta=2 * wins - 1,
        improvement=wins if higher else 1 - wins,
        spread=math.nan if by_ranks else spread(paired_differences(x, y), resolution(x, y)),
        level=level,
    )


def holm(ps: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979)."""
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in cast(np.ndarray, multipletests(ps, method="holm")[1])] if ps else []


def pairs_needed(mean: float, spread: float, level: float = LEVEL) -> int | None:
    """Pairs at which a difference of this mean and spread is found with a power of 80 %; None where there is none.

    By the power of the t-test.

    Args:
        mean: of the differences.
        spread: their standard deviation.
        level: of the test.
    """
    from statsmodels.stats.power import TTestPower

    if mean == 0:
        return None
    effect = abs(mean) / spread if spread > 0 else math.inf

    def suffices(n: int) -> bool:
        if least_p(n) > level:
            return False
        return effect > PLAIN or float(TTestPower().power(effect, n, level)) >= POWER

    low, high = 1, 2
    while not suffices(high):
        low, high = high, 2 * high
        if high > MANY:
            return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def detectable(n: int, spread: float, level: float = LEVEL) -> float | None:
    """The mean difference that n pairs of this spread find with a power of 80 %, by the power of the t-test.

    Args:
        n: pairs.
        spread: the standard deviation of the differences.
        level: of the test.

    Returns:
        None where there are too few pairs, or where it would be more than :data:`PLAIN` standard deviations.
    """
    from statsmodels.stats.power import TTestPower

    def found(effect: float) -> bool:
        return float(TTestPower().power(effect, n, level)) >= POWER

    low, high = 0.0, 1 / math.sqrt(n)
    if least_p(n) > level:
        return None
    while not found(high):  # from below: of very large effects statsmodels has no power
        low, high = high, 2 * high
        if low > PLAIN:
            return None
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high * spread


def fewest_pairs(level: float) -> int:
    """The number of pairs below which no p is as small as the level."""
    return next(n for n in itertools.count(2) if least_p(n) <= level)
