"""What the comparison says, in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from hybridopt.errors import counted, verb
from hybridopt.report import statistics
from hybridopt.report.interval import LEVEL
from hybridopt.report.runs import Comparison
from hybridopt.report.statistics import Paired, fewest_pairs

LISTED = 10  # undecided pairs that are named
UNREADABLE = 1e12  # from which on a number has an exponent


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
        diverged: on runs of the two that have diverged, in words; empty where none has.
    """

    a: str
    b: str
    dataset: str
    found: Paired | None
    p: float
    tests: int
    better: str | None
    diverged: str = ""

    def sentence(self, what: str) -> str:
        """The verdict on a pair that is decided, in words.

        Args:
            what: the quantity compared.
        """
        if self.found is None or self.better is None:
            raise ValueError(f"There is no verdict on {self.a} and {self.b}.")
        first = self.better == self.a
        other, mine, theirs = (
            (self.b, self.found.a, self.found.b) if first else (self.a, self.found.b, self.found.a)
        )  # fmt: skip
        chance = self.found.improvement if first else 1 - self.found.improvement
        if self.found.by_ranks:
            return (
                f"On {self.dataset}, {self.better} is better than {other} in {what}: a run of {self.better} is better "
                f"than one of {other} with a probability of {chance:.2f} (p = {self.p:.2g} by ranks, "
                f"{count(self.found.n)}{self.diverged})."
            )
        gap, low, high = sorted_gap(self.found)
        return (
            f"On {self.dataset}, {self.better} is better than {other} in {what}: {number(mine)} against "
            f"{number(theirs)} in the mean, a difference of {number(gap)} (95 % CI {number(low)} to {number(high)}). "
            f"A run of {self.better} is better than one of {other} with a probability of {chance:.2f} "
            f"(p = {self.p:.2g}, {count(self.found.n)}{self.diverged})."
        )


def verdicts(values: dict[tuple[str, str], dict[str, float]], comparison: Comparison) -> list[Verdict]:
    """All pairs of strategies on each data set; p-values are corrected for all of them together.

    A strategy is better where the corrected p is at most 5 % and the mean difference and the probability of improvement
    both speak for it: where they contradict each other, there is no verdict. Where runs have diverged there is no mean,
    and ranks are compared.

    Args:
        values: what is compared, by (strategy, data set), then by seed.
        comparison: tells the order, and which way is good.
    """
    pairs = [(a, b, d) for d in comparison.datasets for a, b in combinations(comparison.strategies, 2)]
    pairs = [(a, b, d) for a, b, d in pairs if values.get((a, d)) and values.get((b, d))]
    tests = sum(not values[a, d].keys().isdisjoint(values[b, d]) for a, b, d in pairs)
    lost = [diverged(comparison, d, (a, b)) for a, b, d in pairs]
    found = [
        statistics.paired(values[a, d], values[b, d], comparison.higher, max(1, tests), by_ranks=bool(some))
        for (a, b, d), some in zip(pairs, lost, strict=True)
    ]
    corrected = iter(statistics.holm([each.p for each in found if each is not None]))
    told = []
    for (a, b, dataset), each, some in zip(pairs, found, lost, strict=True):
        p = math.nan if each is None else next(corrected)
        better = None if each is None or p > LEVEL else {1: a, -1: b}.get(favour(each, comparison.higher))
        told.append(Verdict(a, b, dataset, each, p, tests, better, some))
    return told


def diverged(comparison: Comparison, dataset: str, strategies: Sequence[str]) -> str:
    """How many runs of these strategies have diverged, as the end of a sentence."""
    counts = {strategy: comparison.diverged(strategy, dataset) for strategy in strategies}
    return "".join(
        worst_of(number, len(comparison.of(strategy, dataset)), strategy)
        for strategy, number in counts.items()
        if number
    )


def worst_of(number: int, runs: int, strategy: str) -> str:
    """That some runs have diverged, as the end of a sentence."""
    told = f"{number} of {counted(runs, 'run')} of {strategy} diverged"
    return f"; {told} and {verb(number, 'counts', 'count')} as the worst"


def favour(found: Paired, higher: bool) -> int:
    """1 where the mean difference and the probability of improvement both speak for a, -1 where for b, else 0."""
    chance = found.improvement - 0.5
    if found.by_ranks:  # whose mean difference has the sign of the probability
        return (chance > 0) - (chance < 0)
    mean = found.difference.value if higher else -found.difference.value
    return int(math.copysign(1, mean)) if mean * chance > 0 else 0


def sentences(found: Sequence[Verdict], what: str) -> list[str]:
    """All verdicts in words: one sentence for each pair that is decided, and one or two for all others.

    Args:
        found: the verdicts.
        what: the quantity compared.
    """
    told = [each.sentence(what) for each in found if each.better is not None]
    few = [each for each in found if has_too_few_seeds(each)]
    others = [each for each in found if each.better is None and each.found is not None and each not in few]
    return told + undecided(others) + too_few(few, whole=not told and not others) + apart(found)


def undecided(found: Sequence[Verdict]) -> list[str]:
    """What the runs cannot tell, in one sentence for each data set at most."""
    told = []
    for dataset in dict.fromkeys(each.dataset for each in found):
        pairs = [f"{each.a} and {each.b}" for each in found if each.dataset == dataset]
        told.append(f"On {dataset}, these runs do not decide between {_listed(pairs)}.")
    return told


def has_too_few_seeds(verdict: Verdict) -> bool:
    """Whether no difference could have been told, however large."""
    found = verdict.found
    return verdict.better is None and found is not None and found.n < fewest_pairs(found.level)


def too_few(found: Sequence[Verdict], whole: bool) -> list[str]:
    """How many seeds it takes at least to tell pairs apart that have fewer, in one sentence at most.

    Args:
        found: the verdicts on these pairs.
        whole: whether they are all that there are; else they are named.
    """
    if not found:
        return []
    named = _listed([f"{each.a} and {each.b} on {each.dataset}" for each in found])
    said = "no pair can" if whole else "some pairs cannot"
    return [f"With {seeds_it_takes(found, f'{said} be told apart')}{'' if whole else f': {named}'}."]


def seeds_it_takes(found: Sequence[Verdict], what: str) -> str:
    """How many seeds there are, what these cannot tell, and how many it takes."""
    numbers = sorted({each.found.n for each in found if each.found is not None})
    there = count(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} seeds"
    tests = found[0].tests
    among = f" among {tests} comparisons" if tests > 1 else ""
    return f"{there} {what}{among}, however large the difference: at least {fewest_pairs(LEVEL / tests)} are needed"


def _listed(pairs: Sequence[str]) -> str:
    """The first pairs by name, and how many more there are."""
    more = len(pairs) - LISTED
    return "; ".join([*pairs[:LISTED], *([f"and {counted(more, 'more pair')}"] if more > 0 else [])])


def apart(found: Sequence[Verdict]) -> list[str]:
    """The pairs that were never compared, in at most one sentence."""
    pairs = [f"{each.a} and {each.b} on {each.dataset}" for each in found if each.found is None]
    if not pairs:
        return []
    return [f"There is no seed in common for {'; '.join(pairs)}: run them with the same seeds."]


def conclusion(verdict: Verdict) -> str:
    """Who is better, or how many seeds would be needed to tell."""
    if verdict.better is not None:
        return verdict.better
    needed = None if verdict.found is None else verdict.found.needed
    if verdict.found is None or needed is None:
        return "not decided"
    return f"not decided; about {max(needed, verdict.found.n + 1):,} seeds would tell"


def sorted_gap(found: Paired) -> tuple[float, float, float]:
    """The size of a decided difference, and the ends of its interval, the nearer one first."""
    low, high = sorted((abs(found.difference.low), abs(found.difference.high)))
    return abs(found.difference.value), low, high


def number(value: float) -> str:
    """Three digits that count; of whole thousands all, as long as they can be read."""
    return f"{value:,.0f}" if 1000 <= abs(value) < UNREADABLE else f"{value:.3g}"


def count(seeds: int) -> str:
    """Seeds in words."""
    return "one seed" if seeds == 1 else counted(seeds, "seed")
