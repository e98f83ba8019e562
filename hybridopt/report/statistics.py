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

LEVEL = 0.05  # of tests; intervals are of 95 %
POWER = 0.8  # that the number of seeds which would be needed is to give
PLAIN = 10.0  # standard deviations: a mean difference beyond needs no more pairs than the test itself
MANY = 100_000  # pairs, more than anybody will run
RESAMPLES = 2000
INTERVAL = 5  # values whose range holds their median in 94 of 100 cases
ENUMERATED = 20  # differences up to which all choices of signs are looked at
SAMPLED = 2**16  # choices of signs that stand for all of more differences


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
        a, b: the means over them.
        difference: the mean of a - b, with its interval.
        p: that the mean difference is 0, two-sided; not corrected for the number of pairs.
        delta: Cliff's delta, from -1 to 1; above 0, a's values are higher.
        improvement: the probability that a run of a is better than a run of b; ties count half.
        spread: the standard deviation of the differences, their resolution included.
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
    def needed(self) -> int | None:
        """Pairs at which a difference like this one is found with a power of 80 %; None where there is none."""
        return pairs_needed(self.difference.value, self.spread, self.level) if self.n > 1 else None


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


def paired(a: Mapping[str, float], b: Mapping[str, float], higher: bool, tests: int = 1) -> Paired | None:
    """Compare two strategies over the seeds that both have; None where they have no seed in common.

    Args:
        a, b: values by seed.
        higher: whether more is better.
        tests: how many pairs are compared in all, for which p-values are corrected afterwards.
    """
    seeds = [seed for seed in a if seed in b]
    if not seeds:
        return None
    x, y = (np.array([values[seed] for seed in seeds], dtype=float) for values in (a, b))
    level = LEVEL / tests
    p, interval = mean_difference(x, y, level)
    wins = float(np.mean((x[:, None] > y) + (x[:, None] == y) / 2))
    return Paired(
        n=len(seeds),
        a=float(x.mean()),
        b=float(y.mean()),
        difference=interval,
        p=p,
        delta=2 * wins - 1,
        improvement=wins if higher else 1 - wins,
        spread=spread(x - y, resolution(x, y)),
        level=level,
    )


def mean_difference(x: np.ndarray, y: np.ndarray, level: float = LEVEL) -> tuple[float, Interval]:
    """The p-value of the mean of paired differences, two-sided, and its 95 % interval, which agree.

    The exact sign-flip permutation test (Fisher 1935) and its inversion where the pairs suffice for it; below that,
    the t-test, which can speak at few pairs, and t-interval.

    Args:
        x, y: (n,), of the same seeds.
        level: at which the test has to be able to speak.
    """
    differences = x - y
    if len(differences) >= pairs_for_permutation(level):
        return sign_flips(differences)
    return t_test(differences, resolution(x, y))


def sign_flips(differences: np.ndarray) -> tuple[float, Interval]:
    """The exact test of the mean for any distribution that is symmetric about it, ties and zeros included.

    Under the hypothesis each of the 2^n choices of signs is as likely as any other. Flipping the signs of a subset
    changes the sum by twice the subset's, so that both p and interval follow from the means of all subsets (Hartigan
    1969, https://doi.org/10.1080/01621459.1969.10501057). Beyond 20 differences a random sample stands for all subsets.
    """
    means = subset_means(np.asarray(differences, dtype=float))
    choices = len(means) + 1  # the empty subset is one
    above, below = 1 + int((means <= 0).sum()), 1 + int((means >= 0).sum())
    p = min(1.0, 2 * min(above, below) / choices)
    outside = int(LEVEL / 2 * choices)
    means.partition([outside - 1, len(means) - outside])
    return p, Interval(float(np.mean(differences)), float(means[outside - 1]), float(means[-outside]))


def subset_means(values: np.ndarray) -> np.ndarray:
    """The means of all non-empty subsets of the values, or of a random sample of them."""
    if len(values) <= ENUMERATED:
        sums, counts = np.zeros(1), np.zeros(1)
        for value in values:
            sums, counts = np.concatenate([sums, sums + value]), np.concatenate([counts, counts + 1])
        sums, counts = sums[1:], counts[1:]
    else:
        generator = np.random.default_rng(0)  # the same runs give the same report
        drawn = [generator.integers(0, 2, (2**10, len(values)), dtype=np.int8) for _ in range(SAMPLED // 2**10)]
        sums = np.concatenate([block @ values for block in drawn])[1:]
        counts = np.concatenate([block.sum(axis=1, dtype=float) for block in drawn])[1:]
    rounding = 4 * len(values) * np.finfo(float).eps * np.abs(values).max(initial=0.0)
    return np.where(np.abs(sums) <= rounding, 0.0, sums / np.maximum(counts, 1))


def t_test(differences: np.ndarray, unit: float) -> tuple[float, Interval]:
    """Student's paired t-test, and its interval, for few pairs of values of limited resolution.

    Values that are multiples of a unit, such as accuracies on few samples, can agree by accident; their rounding adds
    unit^2 / 12 to the variance of each (JCGM 100:2008, F.2.2.1). No p is below that of n runs against n runs that are
    completely separated, 2 / (2n choose n), which is the most that any test without assumptions can say.
    """
    from scipy import stats

    n, mean = len(differences), float(np.mean(differences))
    if n < 2:
        return 1.0, Interval(mean)
    if not differences.any():
        return 1.0, Interval(mean, mean, mean)
    error = spread(differences, unit) / math.sqrt(n)
    p = 2 * float(stats.t.sf(abs(mean) / error, n - 1)) if error > 0 else 0.0
    reach = error * float(stats.t.ppf(1 - LEVEL / 2, n - 1))
    return max(p, least_p(n)), Interval(mean, mean - reach, mean + reach)


def spread(differences: np.ndarray, unit: float) -> float:
    """The standard deviation of paired differences, with what is lost by rounding; NaN for one."""
    if len(differences) < 2:
        return math.nan
    return math.sqrt(float(np.var(differences, ddof=1)) + unit**2 / 6)


def resolution(x: np.ndarray, y: np.ndarray) -> float:
    """The smallest step between two values; 0 where all are equal, or none are."""
    values, counts = np.unique(np.concatenate([x, y]), return_counts=True)
    return float(np.diff(values).min()) if len(values) > 1 and counts.max() > 1 else 0.0


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


def least_p(n: int) -> float:
    """The least p of an exact test of n runs against n others: 2 / (2n choose n)."""
    return 2 / math.comb(2 * n, n)


def fewest_pairs(level: float) -> int:
    """The number of pairs below which no p is as small as the level."""
    return next(n for n in itertools.count(2) if least_p(n) <= level)


def pairs_for_permutation(level: float) -> int:
    """Pairs from which on sign flips are fine-grained enough: their least p, 2 / 2^n, is an eighth of the level."""
    return math.ceil(4 - math.log2(level))
