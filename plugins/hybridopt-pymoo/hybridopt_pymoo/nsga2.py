"""NSGA-II (Deb, Pratap, Agarwal & Meyarivan 2002), https://doi.org/10.1109/4235.996017, made of pymoo's parts."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pymoo.algorithms.moo.nsga2 import binary_tournament
from pymoo.core.selection import Selection
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from hybridopt.toolbox.fronts import Choice, Rule
from hybridopt_pymoo.search import SurvivalSearch
from hybridopt_pymoo.variation import Kind, Settings


class NSGA2(SurvivalSearch):
    """NSGA-II: the fronts of members and children live on, the best first; of the last one those in the least crowd.

    Good for two or three objectives, where a front of networks is wanted and gradients are missing.

    On a new batch members are evaluated again with their children, at twice the cost, so that no lucky batch decides.

    Args:
        popsize: members of a generation, and children.
        variation: "real" for vectors of numbers: simulated binary crossover and polynomial mutation in a box around
            the start; "binary" for vectors whose signs count, as in ``encoding=supermask encoding.rule=sign``: uniform
            crossover and bit flips.
        sigma: of "real": the standard deviation of the first generation around the start; None spreads it evenly over
            the box.
        width: of "real": how far the box goes from the start, in each coordinate.
        crossover: the share of parents that are crossed; the children of others are their copies, mutated.
        eta_crossover: of "real": the larger, the closer children are to their parents.
        eta_mutation: of "real": the larger, the smaller mutations are; a typical one is the box over this number.
        mutation: the share of coordinates that mutate; None is one of all.
        choice: what is recommended of the front: knee, weights or lexicographic.
        weights: of the objectives by name, for "weights": ``+strategy.weights.loss=1``.
        tolerance: of "lexicographic": what counts as equally good, as a share of an objective's range.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.005, 0.5))",
        "width": "tag(log, interval(0.1, 5.0))",
        "mutation": "tag(log, interval(0.001, 1.0))",
    }
    notes: ClassVar[tuple[str, ...]] = ("rank", "crowding")

    def __init__(
        self,
        popsize: int = 100,
        variation: Kind = "real",
        sigma: float | None = 0.05,
        width: float = 1.0,
        crossover: float = 0.9,
        eta_crossover: float = 15.0,
        eta_mutation: float = 20.0,
        mutation: float | None = None,
        choice: Rule = "knee",
        weights: dict[str, float] = {},
        tolerance: float = 0.0,
    ):
        settings = Settings(variation, sigma, width, crossover, eta_crossover, eta_mutation, mutation)
        super().__init__(popsize, settings, Choice(choice, weights, tolerance))

    def selection(self) -> Selection:
        return TournamentSelection(func_comp=binary_tournament)

    def survive(self, individuals: Any, count: int, own: np.ndarray) -> Any:
        return self.by(RankAndCrowding(), individuals, count)
