"""How a quantity grows: exponents with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hybridopt.report.interval import LEVEL, Interval
from hybridopt.report.statistics import RESAMPLES, expanded


def exponent(measured: Mapping[float, Sequence[float]]) -> Interval:
    """The exponent b of y ~ x^b: the slope of log y over log x, by least squares on the means of log y.

    The interval is that of the bootstrap over seeds, each x by itself, where there are two values for each x; else
    Student's of the regression.

    Args:
        measured: x -> values of y, one for each seed; all above 0, and at least two x.

    Raises:
        ValueError: there are too few x, or a value has no logarithm.
    """
    x = np.log(np.array(sorted(measured), dtype=float))
    y = [np.asarray(measured[each], dtype=float) for each in sorted(measured)]
    if len(x) < 2 or not np.isfinite(x).all() or any((values <= 0).any() or not len(values) for values in y):
        raise ValueError("An exponent takes values above 0 at two sizes at least.")
    y = [np.log(values) for values in y]
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    slope = float(weights @ [values.mean() for values in y])
    if min(map(len, y)) < 2:
        return _by_regression(x, np.array([values.mean() for values in y]), slope)
    generator = np.random.default_rng(0)  # the same results give the same page
    drawn = [values[generator.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1) for values in y]
    tail = expanded(LEVEL / 2, min(map(len, y)))
    low, high = np.quantile(weights @ np.array(drawn), [tail, 1 - tail])
    return Interval(slope, float(low), float(high))


def _by_regression(x: np.ndarray, y: np.ndarray, slope: float) -> Interval:
    """Student's interval of a slope, from what the points lie off the line."""
    from scipy import stats

    n, x, y = len(x), x - x.mean(), y - y.mean()
    if n < 3:
        return Interval(slope)
    error = math.sqrt(float(((y - slope * x) ** 2).sum()) / (n - 2) / float((x**2).sum()))
    reach = float(stats.t.ppf(1 - LEVEL / 2, n - 2)) * error
    return Interval(slope, slope - reach, slope + reach)


def per_decade(measured: Mapping[float, Mapping[str, float]]) -> dict[str, float]:
    """By how much a value rises where x is ten times as large: the slope over log10 x, for each seed by itself.

    Args:
        measured: x -> value by seed, of at least two x; seeds that some x lacks are left out.

    Raises:
        ValueError: there are too few x.
    """
    if len(measured) < 2:
        raise ValueError("A slope takes values at two sizes at least.")
    sizes = sorted(measured)
    x = np.log10(np.array(sizes, dtype=float))
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    seeds = [seed for seed in measured[sizes[0]] if all(seed in of for of in measured.values())]
    return {seed: float(weights @ [measured[size][seed] for size in sizes]) for seed in seeds}
