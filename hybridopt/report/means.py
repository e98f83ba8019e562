"""Tests of the mean of paired differences, and its intervals."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from hybridopt.report.interval import LEVEL, Interval

ENUMERATED = 20  # differences up to which all choices of signs are looked at
UNDERFLOW = 600  # runs from which on 2 / (2n choose n) is no number but 0, which takes long to find out
SAMPLED = 2**16  # choices of signs that stand for all of more differences


def mean_difference(x: np.ndarray, y: np.ndarray, level: float = LEVEL) -> tuple[float, Interval]:
    """The p-value of the mean of paired differences, two-sided, and its 95 % interval, which agree.

    The exact sign-flip permutation test (Fisher 1935) and its inversion where the pairs suffice for it; below that,
    the t-test, which can speak at few pairs, and t-interval.

    Args:
        x, y: (n,), of the same seeds.
        level: at which the test has to be able to speak.
    """
    differences = paired_differences(x, y)
    if len(differences) >= pairs_for_permutation(level):
        return sign_flips(differences)
    return t_test(differences, resolution(x, y))


def paired_differences(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x - y (n,), 0 where they are equal but for rounding."""
    rounding = 4 * np.finfo(float).eps * max(np.abs(x).max(initial=0.0), np.abs(y).max(initial=0.0))
    return np.where(np.abs(x - y) <= rounding, 0.0, x - y)


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
    outside = max(1, int(LEVEL / 2 * choices))  # of few pairs the interval is that of the range of all means
    means.partition([outside - 1, len(means) - outside])
    return p, Interval(float(np.mean(differences)), float(means[outside - 1]), float(means[-outside]))


def subset_means(values: np.ndarray) -> np.ndarray:
    """The means of all non-empty subsets of the values, or of a random sample of them."""
    if len(values) <= ENUMERATED:
        sums, counts = np.zeros(2 ** len(values)), _all_counts(len(values))
        for number, value in enumerate(values):
            np.add(sums[: 2**number], value, out=sums[2**number : 2 ** (number + 1)])
        sums = sums[1:]
    else:
        drawn, counts = _drawn_subsets(len(values))
        sums = np.concatenate([block @ values for block in drawn])[1:]
    rounding = 4 * len(values) * np.finfo(float).eps * np.abs(values).max(initial=0.0)
    nothing = np.abs(sums) <= rounding
    sums /= counts
    sums[nothing] = 0.0
    return sums


@lru_cache(1)  # the pairs of a report mostly have one number of seeds
def _all_counts(n: int) -> np.ndarray:
    """The sizes of all non-empty subsets of n values."""
    counts = np.zeros(1)
    for _ in range(n):
        counts = np.concatenate([counts, counts + 1])
    return counts[1:]


@lru_cache(1)
def _drawn_subsets(n: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Random subsets of n values, a row of 0 and 1 for each, and the sizes of all but the first."""
    generator = np.random.default_rng(0)  # the same runs give the same report
    drawn = [generator.integers(0, 2, (2**10, n), dtype=np.int8) for _ in range(SAMPLED // 2**10)]
    return drawn, np.maximum(np.concatenate([block.sum(axis=1, dtype=float) for block in drawn])[1:], 1)


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
    size = max(float(np.abs(differences).max()), unit) or 1.0  # squares of very small numbers would vanish
    return size * math.sqrt(float(np.var(differences / size, ddof=1)) + (unit / size) ** 2 / 6)


def resolution(x: np.ndarray, y: np.ndarray) -> float:
    """The smallest step between two values; 0 where all are equal, or none are."""
    values, counts = np.unique(np.concatenate([x, y]), return_counts=True)
    return float(np.diff(values).min()) if len(values) > 1 and counts.max() > 1 else 0.0


def least_p(n: int) -> float:
    """The least p of an exact test of n runs against n others: 2 / (2n choose n)."""
    return 2 / math.comb(2 * n, n) if n < UNDERFLOW else 0.0


def pairs_for_permutation(level: float) -> int:
    """Pairs from which on sign flips are fine-grained enough: their least p, 2 / 2^n, is an eighth of the level."""
    return math.ceil(4 - math.log2(level))
