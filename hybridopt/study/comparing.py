"""Comparisons of a study's arms: paired by seed, and corrected for all that the study compares."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from hybridopt.core.study import Results, Table
from hybridopt.errors import counted
from hybridopt.report import statistics
from hybridopt.report.interval import LEVEL, Interval
from hybridopt.report.page import interval
from hybridopt.report.statistics import Paired
from hybridopt.report.summary import worst_for_diverged
from hybridopt.report.verdict import favour, number


@dataclass(frozen=True)
class Compared:
    """Two arms.

    Args:
        a, b: their names.
        found: how they differ, over the seeds that both have.
        p: that they do not, corrected for all comparisons of the study (Holm).
        higher: whether more of the metric is better.
        margin: the difference below which two arms are as good as each other; None where that is not asked.
        equivalence: the p of a difference beyond the margin, corrected in the same way (two one-sided tests); NaN where
            it is not asked.
        metric: what is compared.
        tests: how many comparisons p is corrected for.
    """

    a: str
    b: str
    found: Paired
    p: float
    higher: bool
    margin: float | None = None
    equivalence: float = math.nan
    metric: str = ""
    tests: int = 1

    @property
    def better(self) -> str | None:
        """The better arm; None where the two cannot be told apart."""
        return {1: self.a, -1: self.b}.get(favour(self.found, self.higher)) if self.p <= LEVEL else None

    @property
    def equivalent(self) -> bool:
        """Whether the two are as good as each other, up to the margin."""
        return self.equivalence <= LEVEL

    @property
    def detectable(self) -> float | None:
        """The difference that would have been found with a power of 80 %; None where it is beyond all measure."""
        return self.found.detectable

    def __str__(self) -> str:
        gap = self.found.difference
        of = f"{self.metric}: " if self.metric else ""
        if self.found.by_ranks:
            said = f"{self.a} and {self.b}, of which runs have diverged, by ranks"
        else:
            said = f"{self.a} {number(self.found.a)}, {self.b} {number(self.found.b)}, difference {number(gap.value)}"
            said += f" (95 % CI {number(gap.low)} to {number(gap.high)})"
        alone = f"{of}{said}, p = {self.p:.2g}"
        notes = "; ".join(self._notes())
        return f"{alone} ({notes})" if notes else alone

    def _notes(self) -> Iterator[str]:
        """For what p is corrected; and why it says nothing where the interval seems to."""
        if self.tests > 1:
            yield f"Holm, {self.tests} comparisons"
        fewest = statistics.fewest_pairs(self.found.level)
        excluded = self.found.difference.low > 0 or self.found.difference.high < 0
        if self.found.n < fewest:
            yield f"with {counted(self.found.n, 'seed')} nothing can be told, it takes {fewest}"
        elif excluded and self.p > LEVEL:
            yield "the interval is of this one alone"


def compare(
    results: Results,
    pairs: Sequence[tuple[str, str]],
    metric: str,
    higher: bool = False,
    margin: float | None = None,
) -> list[Compared]:
    """Pairs of arms by one metric.

    Args:
        results: the study's.
        pairs: names of arms; all that the verdict rests on, since p-values are corrected for their number.
        metric: one that the study keeps.
        higher: whether more of it is better.
        margin: the difference up to which two arms count as equally good; None asks for no such test.
    """
    values = {arm: results.values(arm, metric, higher) for pair in pairs for arm in pair}
    return compare_values(values, pairs, higher, margin, metric)


def compare_values(
    values: Mapping[str, Mapping[str, float]],
    pairs: Sequence[tuple[str, str]],
    higher: bool | Sequence[bool] = False,
    margin: float | None = None,
    metric: str | Sequence[str] = "",
) -> list[Compared]:
    """As :func:`compare`, of values by arm and seed. Pairs without a seed in common are left out.

    Args:
        values: of all arms.
        pairs: of them.
        higher: whether more is better: for all, or for each pair.
        margin: as there.
        metric: what the values are, for sentences: of all, or of each pair.
    """
    ways = [higher] * len(pairs) if isinstance(higher, bool) else higher
    of = [metric] * len(pairs) if isinstance(metric, str) else metric
    found = [(*pair, _paired(values, pair, way, len(pairs)), way) for pair, way in zip(pairs, ways, strict=True)]
    there = [(a, b, each, way, what) for (a, b, each, way), what in zip(found, of, strict=True) if each is not None]
    ps = statistics.holm([each.p for _, _, each, *_ in there])
    same = [math.nan] * len(there)
    if margin is not None:
        same = statistics.holm([equivalence(values[a], values[b], margin) for a, b, *_ in there])
    return [
        Compared(a, b, each, p, way, margin, q, what, len(there))
        for (a, b, each, way, what), p, q in zip(there, ps, same, strict=True)
    ]


def _paired(
    values: Mapping[str, Mapping[str, float]], pair: tuple[str, str], higher: bool, tests: int
) -> Paired | None:
    """Two arms; where runs have diverged these are the last, and ranks are compared."""
    given = {"a": values[pair[0]], "b": values[pair[1]]}
    lost = not all(math.isfinite(value) for of in given.values() for value in of.values())
    a, b = worst_for_diverged(given, higher).values()
    return statistics.paired(a, b, higher, tests, by_ranks=lost)


def equivalence(a: Mapping[str, float], b: Mapping[str, float], margin: float) -> float:
    """The p of a mean difference of ``margin`` or more, by two one-sided paired t-tests (TOST).

    Schuirmann 1987, https://doi.org/10.1007/BF01068419.

    Args:
        a, b: values by seed; those of seeds that both have count.
        margin: above 0.
    """
    from scipy import stats

    differences = np.array([a[seed] - b[seed] for seed in a if seed in b], dtype=float)
    if len(differences) < 2 or not np.isfinite(differences).all():
        return 1.0
    if np.ptp(differences) == 0:
        return 0.0 if abs(differences[0]) < margin else 1.0
    sides = ((-margin, "greater"), (margin, "less"))
    return max(float(cast(Any, stats.ttest_1samp(differences, end, alternative=side)).pvalue) for end, side in sides)


def table(comparisons: Sequence[Compared], title: str = "") -> Table:
    """A row for each comparison."""
    asked = any(each.margin is not None for each in comparisons)
    if not title and len(metrics := {each.metric for each in comparisons}) == 1:
        title = f"Comparisons by {metric}" if (metric := metrics.pop()) else ""
    head = ["pair", "difference of means", "p", "probability of improvement", "could have seen", "better"]
    rows = [
        [f"{each.a} - {each.b}", interval(each.found.difference), f"{each.p:.2g}", f"{each.found.improvement:.2f}",
         "-" if each.detectable is None else number(each.detectable), _outcome(each),
         *([f"{each.equivalence:.2g}"] if asked else [])]
        for each in comparisons
    ]  # fmt: skip
    return Table([*head, *(["p of not equivalent"] if asked else [])], rows, title)


def _outcome(each: Compared) -> str:
    if each.better is not None:
        return each.better
    return f"equal up to {number(each.margin)}" if each.margin is not None and each.equivalent else "cannot be told"


def medians(values: Mapping[str, Mapping[str, float]]) -> dict[str, Interval]:
    """The median over seeds of each arm."""
    return {arm: statistics.median(list(of.values())) for arm, of in values.items() if of}
