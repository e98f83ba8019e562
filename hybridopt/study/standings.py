"""Strategies ranked over several tasks."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hybridopt.core.study import Table
from hybridopt.report.verdict import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]  # task -> strategy -> seed -> score, the higher the better
FEWEST = 3  # tasks, and strategies, from which on a critical difference can be told


class Standings:
    """Who is how good, over tasks.

    Args:
        scores: of the test; minus infinity where a run has diverged. Strategies that lack a task have no rank.
    """

    def __init__(self, scores: Scores):
        self.scores = scores

    @cached_property
    def strategies(self) -> list[str]:
        """Those that ran on all tasks."""
        everybody = dict.fromkeys(name for task in self.scores.values() for name in task)
        return [name for name in everybody if all(task.get(name) for task in self.scores.values())]

    @cached_property
    def ranks(self) -> dict[str, list[float]]:
        """On each task the rank of each strategy by its median, 1 for the best; ties share theirs."""
        from scipy.stats import rankdata

        medians = np.array([[median(task[name]) for name in self.strategies] for task in self.scores.values()])
        ranks = rankdata(-medians, axis=1)
        return {name: [float(rank) for rank in ranks[:, index]] for index, name in enumerate(self.strategies)}

    @cached_property
    def order(self) -> list[str]:
        """The best mean rank first."""
        return sorted(self.strategies, key=self.mean_rank)

    def mean_rank(self, strategy: str) -> float:
        """Over the tasks."""
        return statistics.fmean(self.ranks[strategy])

    def place_of(self, strategy: str) -> str:
        """In a sentence."""
        if strategy not in self.order:
            return f"{strategy} has not run on all tasks, and has no rank."
        place, rank = self.order.index(strategy) + 1, number(self.mean_rank(strategy))
        return f"{strategy} is number {place} of {len(self.order)}, with a mean rank of {rank}."

    def table(self, described: Callable[[str], str]) -> Table:
        """Mean ranks, the best first; ``described`` says of each strategy what it is."""
        rows = [
            [name, described(name), *(number(value) for value in (self.mean_rank(name), min(of), max(of)))]
            for name in self.order
            for of in [self.ranks[name]]
        ]
        return Table(["strategy", "", "mean rank", "best", "worst"], rows, "Ranks over all tasks")

    def table_of(self, task: str, metric: str) -> Table:
        """Medians on a task, with the range, the best first."""
        found = {name: sorted(of.values()) for name, of in self.scores[task].items() if of}
        order = sorted(found, key=lambda name: -statistics.median(found[name]))
        rows = [
            [name, number(statistics.median(found[name])), f"{number(found[name][0])} to {number(found[name][-1])}"]
            for name in order
        ]
        return Table(["strategy", metric, "range"], rows, task)

    def draw_kinds(self, axes: Axes, task: str, kind_of: Callable[[str], str]) -> None:
        """A row for each kind of strategies, with a point at the median of each on a task; the best is named.

        Args:
            axes: to draw into.
            task: one of the scores'.
            kind_of: the kind of a strategy, in a word.
        """
        found = {name: median(of) for name, of in self.scores[task].items()}
        kinds = list(dict.fromkeys(map(kind_of, found)))
        for row, kind in enumerate(reversed(kinds)):
            values = {name: value for name, value in found.items() if kind_of(name) == kind and np.isfinite(value)}
            axes.plot(list(values.values()), [row] * len(values), "o", alpha=0.5, markersize=6)
            if values:
                first = max(values, key=values.__getitem__)
                axes.annotate(f"{first} {number(values[first])}", (1, row + 0.22), xycoords=("axes fraction", "data"),
                              ha="right", fontsize="small")  # fmt: skip
        axes.set_yticks(range(len(kinds)), [kind or "yours" for kind in reversed(kinds)])
        axes.set(ylim=(-0.4, len(kinds) - 0.4))

    def draw(self, ranks: Axes, profiles: Axes, label: str, shown: int) -> None:
        """Critical differences of the mean ranks, and the profiles of the best few."""
        from hybridopt.report.pictures import draw_profiles, draw_ranks

        if min(len(self.scores), len(self.strategies)) >= FEWEST:
            draw_ranks(ranks, {name: [median(task[name]) for task in self.scores.values()] for name in self.order})
        else:
            ranks.remove()
        best = self.order[:shown]
        runs = {name: [value for task in self.scores.values() for value in finite(task[name])] for name in best}
        if all(runs.values()):
            draw_profiles(profiles, runs, label)
            profiles.legend(fontsize="x-small")


def finite(values: Mapping[str, float]) -> list[float]:
    """Those of runs that have not diverged."""
    return [value for value in values.values() if np.isfinite(value)]


def median(values: Mapping[str, float]) -> float:
    """Over seeds; minus infinity where half of the runs or more have diverged, as it is where there is none."""
    found = statistics.median(values.values()) if values else -np.inf
    return float(found) if not np.isnan(found) else -np.inf


def best(candidates: Sequence[str], scores: Mapping[str, Mapping[str, float]]) -> str | None:
    """Of these strategies the one with the best median; None where none of them ran."""
    there = [name for name in candidates if scores.get(name)]
    return max(there, key=lambda name: median(scores[name]), default=None)
