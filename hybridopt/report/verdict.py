"""What the comparison says, in sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

from hybridopt.report import statistics
from hybridopt.report.runs import Comparison
from hybridopt.report.statistics import LEVEL, Paired, fewest_pairs


@dataclass(frozen=True)
class Verdict:
    """A pair of strategies on a data set.

    Args:
        a, b: labels.
        dataset: its name.
        found: how they differ; None where they have no seed in common.
        p: corrected for the number of pairs.
        tests: the number of pairs.
        better: the label of the better one; None where they cannot be told apart.
    """

    a: str
    b: str
    dataset: str
    found: Paired | None
    p: float
    tests: int
    better: str | None

    def sentence(self, what: str) -> str:
        """The verdict in words.

        Args:
            what: the quantity compared.
        """
        if self.found is None:
            return f"On {self.dataset}, {self.a} and {self.b} have no seed in common: run them with the same seeds."
        if self.better is not None:
            return self._better(what, self.found)
        return (
            f"On {self.dataset}, {self.a} and {self.b} are not distinguishable with {count(self.found.n)}"
            + self._lack(self.found)
        )

    def _better(self, what: str, found: Paired) -> str:
        other = self.b if self.better == self.a else self.a
        chance = found.improvement if self.better == self.a else 1 - found.improvement
        gap, low, high = (abs(v) for v in (found.difference.value, *_ends(found)))
        return (
            f"On {self.dataset}, {self.better} is better than {other} in {what}: by {number(gap)} in the median (95 % "
            f"CI {number(min(low, high))} to {number(max(low, high))}; p = {self.p:.2g}, Cliff's delta "
            f"{abs(found.delta):.2f}, probability of improvement {chance:.2f}, {count(found.n)})."
        )

    def _lack(self, found: Paired) -> str:
        fewest = fewest_pairs(LEVEL / self.tests)
        numbers = f" (median difference {number(found.difference.value)}, p = {self.p:.2g})"
        if found.n < fewest:
            told = f"in {self.tests} comparisons" if self.tests > 1 else "by this test"
            return f"{numbers}; fewer than {fewest} can tell no difference {told}."
        if found.needed is None:
            return f"{numbers}; there is no difference to be seen."
        return f"{numbers}; about {max(found.needed, found.n + 1)} would be needed."


def verdicts(values: dict[tuple[str, str], dict[str, float]], comparison: Comparison) -> list[Verdict]:
    """All pairs of strategies on each data set; p-values are corrected for all of them together.

    Args:
        values: what is compared, by (strategy, data set), then by seed.
        comparison: tells the order, and which way is good.
    """
    pairs = [(a, b, d) for d in comparison.datasets for a, b in combinations(comparison.strategies, 2)]
    pairs = [(a, b, d) for a, b, d in pairs if values.get((a, d)) and values.get((b, d))]
    level = LEVEL / max(1, len(pairs))  # of the smallest p-value, by Holm
    found = [statistics.paired(values[a, d], values[b, d], comparison.higher, level) for a, b, d in pairs]
    corrected = iter(statistics.holm([each.p for each in found if each is not None]))
    tests = sum(each is not None for each in found)
    told = []
    for (a, b, dataset), each in zip(pairs, found, strict=True):
        p = math.nan if each is None else next(corrected)
        better = None
        if each is not None and p <= LEVEL:
            better = a if (each.difference.value > 0) == comparison.higher else b
        told.append(Verdict(a, b, dataset, each, p, tests, better))
    return told


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def count(seeds: int) -> str:
    """Seeds in words."""
    return "one seed" if seeds == 1 else f"{seeds} seeds"


def _ends(found: Paired) -> tuple[float, float]:
    return found.difference.low, found.difference.high
