"""Success rates of arms: each with Wilson's interval, compared by Fisher's test and corrected for all comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hybridopt.core.study import Table
from hybridopt.report import statistics
from hybridopt.report.interval import LEVEL, Interval


@dataclass(frozen=True)
class RatesCompared:
    """Two success rates.

    Args:
        a, b: names of the arms.
        rate_a, rate_b: their success rates, with Wilson's intervals.
        p: that they are equal (Fisher's exact test), corrected for all comparisons of the study (Holm).
    """

    a: str
    b: str
    rate_a: Interval
    rate_b: Interval
    p: float

    @property
    def better(self) -> str | None:
        """The arm that succeeds more often; None where the two cannot be told apart."""
        if self.p > LEVEL:
            return None
        return self.a if self.rate_a.value > self.rate_b.value else self.b

    def __str__(self) -> str:
        return f"{self.a} {percent(self.rate_a)}, {self.b} {percent(self.rate_b)}, p = {self.p:.2g}"


def rate(successes: Sequence[bool]) -> Interval:
    """The share of runs that succeed, with Wilson's interval.

    Args:
        successes: of each run, at least one.
    """
    return statistics.success_rate(sum(successes), len(successes))


def compare_rates(successes: Mapping[str, Sequence[bool]], pairs: Sequence[tuple[str, str]]) -> list[RatesCompared]:
    """Pairs of arms by how often they succeed; pairs of which one arm has no run are left out.

    Fisher 1922, https://doi.org/10.2307/2340521, by scipy; Holm 1979 over all pairs.

    Args:
        successes: arm -> whether each run succeeds.
        pairs: names of arms; all that the verdict rests on.
    """
    there = [(a, b) for a, b in pairs if successes.get(a) and successes.get(b)]
    ps = statistics.holm([_fisher(successes[a], successes[b]) for a, b in there])
    rates = {arm: rate(successes[arm]) for pair in there for arm in pair}
    return [RatesCompared(a, b, rates[a], rates[b], p) for (a, b), p in zip(there, ps, strict=True)]


def _fisher(a: Sequence[bool], b: Sequence[bool]) -> float:
    from scipy import stats

    counts = [[sum(each), len(each) - sum(each)] for each in (a, b)]
    return float(cast(Any, stats.fisher_exact(counts)).pvalue)


def percent(share: Interval) -> str:
    """A rate with its interval, in per cent."""
    return f"{100 * share.value:.0f} % (95 % CI {100 * share.low:.0f} to {100 * share.high:.0f})"


def rates_table(successes: Mapping[str, Sequence[bool]], title: str = "") -> Table:
    """A row for each arm that has runs.

    Args:
        successes: arm -> whether each run succeeds.
        title: of the table.
    """
    rows = [[arm, f"{sum(each)} of {len(each)}", percent(rate(each))] for arm, each in successes.items() if each]
    return Table(["arm", "successes", "rate"], rows, title)


def comparisons_table(comparisons: Sequence[RatesCompared], title: str = "") -> Table:
    """A row for each comparison."""
    rows = [
        [f"{each.a} - {each.b}", f"{100 * (each.rate_a.value - each.rate_b.value):+.0f} points", f"{each.p:.2g}",
         each.better or "cannot be told"]
        for each in comparisons
    ]  # fmt: skip
    return Table(["pair", "difference of rates", "p", "better"], rows, title)
