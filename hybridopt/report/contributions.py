"""What each part of a hybrid contributes: the hybrid against its control arms, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hybridopt.execution.contents import contents_of, files
from hybridopt.report import statistics
from hybridopt.report.interval import LEVEL
from hybridopt.report.runs import ComparedRun, Comparison
from hybridopt.report.said import said
from hybridopt.report.statistics import Paired, fewest_pairs
from hybridopt.report.summary import compared
from hybridopt.report.verdict import (
    Verdict,
    conclusion,
    count,
    favour,
    has_too_few_seeds,
    number,
    seeds_it_takes,
    sorted_gap,
    worst_of,
)

HYBRID, ARM = "the hybrid", "the arm"


@dataclass(frozen=True)
class Contribution:
    """A hybrid and one of its control arms, on a data set or on all of them.

    Args:
        hybrid: its label.
        arm: its name, such as "without the search".
        dataset: its name, or how many there are.
        what: the quantity compared.
        verdict: on ``HYBRID`` and ``ARM``; nothing is found in it where they have no finished runs in common.
        forwards: the mean cost of both, over the seeds that are paired.
        same: whether they are equivalent: see :func:`equivalent`.
    """

    hybrid: str
    arm: str
    dataset: str
    what: str
    verdict: Verdict
    forwards: tuple[float, float]
    same: bool

    @property
    def place(self) -> str:
        """The hybrid, and on what."""
        return f"{self.hybrid} on {self.dataset}"

    def sentence(self) -> str:
        """What leaving the part out does, in words."""
        found = self.verdict.found
        if found is None:
            return f"{self.place}: {self.arm}, there is no finished run to compare."
        p = f"p = {self.verdict.p:.2g}"
        if self.verdict.better is not None:
            return self._decided(found, p)
        if self.same:
            return self._same(found, p)
        return f"{self.place}: {self.arm}, {count(found.n)} cannot tell a difference ({p}; {self._visible(found)})."

    def outcome(self) -> str:
        """The same in a word or two, of the arm."""
        if self.verdict.better is not None:
            return "worse" if self.verdict.better == HYBRID else "better"
        return "the same" if self.same else conclusion(self.verdict)

    def _decided(self, found: Paired, p: str) -> str:
        first = self.verdict.better == HYBRID
        chance = found.improvement if first else 1 - found.improvement
        gap, low, high = sorted_gap(found)
        by = "" if found.by_ranks else f" by {number(gap)} (95 % CI {number(low)} to {number(high)})"
        p += " by ranks" if found.by_ranks else ""
        return (
            f"{self.place}: {self.arm}, the result is {self.outcome()}{by} in {self.what}, {p}, {count(found.n)}; a "
            f"run of {self.verdict.better} is better with a probability of {chance:.2f}{self.verdict.diverged}."
        )

    def _same(self, found: Paired, p: str) -> str:
        low, high = found.difference.low, found.difference.high
        small = f"between {number(low)} and {number(high)} (95 % CI), less than what another seed changes"
        told = f"the difference in {self.what} is {'0 in every run' if low == high else small}{self.verdict.diverged}"
        return f"{self.place}: {self.arm}, the result is the same ({p}, {count(found.n)}; {told})."

    def _visible(self, found: Paired) -> str:
        """What difference could have been told, had there been one."""
        if self.verdict.p <= LEVEL:
            return "the mean and the probability of improvement contradict each other"
        fewest = fewest_pairs(found.level)
        if found.n < fewest:
            among = f" among {self.verdict.tests} comparisons" if self.verdict.tests > 1 else ""
            return f"it takes {fewest}{among}, however large it is"
        if found.by_ranks:
            return f"compared by ranks{self.verdict.diverged}"
        visible = found.detectable
        if visible is None:
            return "only one far beyond the spread over seeds could have been seen"
        return f"a difference of {number(visible)} in {self.what} could have been seen{self.verdict.diverged}"


def contributions(comparison: Comparison) -> list[Contribution]:
    """All hybrids with all of their arms, on each data set, and over them where there are several.

    Verdicts are those of strategies (:func:`~hybridopt.report.verdict.verdicts`); p-values are corrected for the
    comparisons that are made here. Over data sets, a seed's value is the mean of its values on them.
    """
    cells = [cell for hybrid in comparison.strategies for cell in _cells(comparison, hybrid)]
    tests = sum(not cell.values[0].keys().isdisjoint(cell.values[1]) for cell in cells)
    found = [
        statistics.paired(*cell.values, comparison.higher, max(1, tests), by_ranks=bool(cell.diverged))
        for cell in cells
    ]
    corrected = iter(statistics.holm([each.p for each in found if each is not None]))
    return [
        _contribution(cell, each, math.nan if each is None else next(corrected), tests, comparison.higher)
        for cell, each in zip(cells, found, strict=True)
    ]


def sentences(parts: Sequence[Contribution]) -> list[str]:
    """All of them in words; several of too few seeds in one sentence."""
    few = [part for part in parts if not part.same and has_too_few_seeds(part.verdict)]
    if len(few) < 2:
        return [part.sentence() for part in parts]
    told = seeds_it_takes([part.verdict for part in few], "cannot tell what a part contributes")
    named = "; ".join(f"{part.place}, {part.arm}" for part in few)
    others = [part.sentence() for part in parts if part not in few]
    return [*others, f"{told[0].upper()}{told[1:]}{f': {named}' if others else ''}."]


def equivalent(found: Paired, values: Sequence[Mapping[str, float]]) -> bool:
    """Whether an undecided difference is known to be small: all of its 95 % interval holds no more than a seed changes.

    The interval has to contain 0, and to lie within one standard deviation of the runs over seeds, the smaller one of
    the two. Two that do not differ at all get there from about a dozen seeds on.

    Args:
        found: how the two differ.
        values: of the two, by seed.
    """
    low, high = found.difference.low, found.difference.high
    common = [seed for seed in values[0] if seed in values[1]]
    if found.n < 2 or not low <= 0 <= high:
        return False
    margin = min(float(np.std([each[seed] for seed in common], ddof=1)) for each in values)
    return -margin <= low and high <= margin


@dataclass(frozen=True)
class _Cell:
    """What one comparison is made from: values and costs of a hybrid and of an arm, by seed."""

    hybrid: str
    arm: str
    dataset: str
    what: str
    values: tuple[Mapping[str, float], Mapping[str, float]]
    forwards: tuple[Mapping[str, float], Mapping[str, float]]
    diverged: str


def _cells(comparison: Comparison, hybrid: str) -> Iterator[_Cell]:
    """Arm by arm: each data set, and all of them."""
    runs = [run for run in comparison.results if run.strategy == hybrid]
    there = (*comparison.results, *comparison.arms)
    by_mark = {(run.record.tags.get("hybridopt.fingerprint"), _read_by(run)): run for run in there}
    for arm in dict.fromkeys(name for run in runs for name in _marks(run)):
        with_arm = [run for run in runs if arm in _marks(run)]
        marks = [(_marks(run)[arm], _read_by(run)) for run in with_arm]
        arms = [by_mark[mark] for mark in marks if mark in by_mark]
        pair = [(HYBRID, run) for run in with_arm] + [(ARM, run) for run in arms]
        both = Comparison([replace(run, strategy=name) for name, run in pair], comparison.metric, comparison.higher)
        what, values = compared(both)
        for dataset in both.datasets:
            yield _cell(both, hybrid, arm, [dataset], what, values)
        if len(both.datasets) > 1:
            yield _cell(both, hybrid, arm, both.datasets, what, values)


def _cell(
    both: Comparison,
    hybrid: str,
    arm: str,
    datasets: Sequence[str],
    what: str,
    values: Mapping[tuple[str, str], Mapping[str, float]],
) -> _Cell:
    """The means over data sets, of seeds that have run on all of them."""
    place = datasets[0] if len(datasets) == 1 else f"all {len(datasets)} data sets"
    forwards = {
        (name, dataset): {seed: run.forwards for seed, run in both.of(name, dataset).items()}
        for name in (HYBRID, ARM)
        for dataset in datasets
    }
    mean, cost = (
        [_mean([found.get((name, dataset), {}) for dataset in datasets]) for name in (HYBRID, ARM)]
        for found in (values, forwards)
    )
    return _Cell(
        hybrid, arm, place, what, (mean[0], mean[1]), (cost[0], cost[1]),
        "".join(_diverged(both, name, datasets) for name in (HYBRID, ARM)),
    )  # fmt: skip


def _contribution(cell: _Cell, found: Paired | None, p: float, tests: int, higher: bool) -> Contribution:
    decided = found is not None and p <= LEVEL
    better = {1: HYBRID, -1: ARM}.get(favour(found, higher)) if found is not None and decided else None
    verdict = Verdict(HYBRID, ARM, cell.dataset, found, p, tests, better, cell.diverged)
    paired = [seed for seed in cell.values[0] if seed in cell.values[1]]
    costs = [float(np.mean([each[seed] for seed in paired])) if paired else math.nan for each in cell.forwards]
    same = found is not None and not decided and equivalent(found, cell.values)
    return Contribution(cell.hybrid, cell.arm, cell.dataset, cell.what, verdict, (costs[0], costs[1]), same)


def _marks(run: ComparedRun) -> dict[str, str]:
    """The fingerprints of a hybrid's control arms, by their names; none of another run."""
    return said(run.record, "controls")


def _read_by(run: ComparedRun) -> tuple[object, ...]:
    """What a hybrid and its arms have read: the same data, and the same files of what is not the strategy's."""
    read = files(contents_of(run.record.tags)).items()
    return run.dataset, *sorted(each for each in read if not each[0].startswith("strategy."))


def _mean(strata: Sequence[Mapping[str, float]]) -> dict[str, float]:
    common = [seed for seed in strata[0] if all(seed in stratum for stratum in strata)]
    return {seed: float(np.mean([stratum[seed] for stratum in strata])) for seed in common}


def _diverged(both: Comparison, name: str, datasets: Sequence[str]) -> str:
    number = sum(both.diverged(name, dataset) for dataset in datasets)
    runs = sum(len(both.of(name, dataset)) for dataset in datasets)
    return worst_of(number, runs, name) if number else ""
