"""NSGA-III (Deb & Jain 2014), https://doi.org/10.1109/TEVC.2013.2281535, made of pymoo's parts."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import torch
from pymoo.algorithms.moo.nsga3 import ReferenceDirectionSurvival, comp_by_cv_then_random
from pymoo.core.selection import Selection
from pymoo.operators.selection.tournament import TournamentSelection
from torch import Tensor

from hybridopt.toolbox.fronts import Choice, Rule
from hybridopt_pymoo.directions import directions
from hybridopt_pymoo.search import SurvivalSearch, enough
from hybridopt_pymoo.variation import Kind, Settings


class NSGA3(SurvivalSearch):
    """NSGA-III: the fronts of members and children live on, the best first; of the last one those in empty directions.

    Good for three objectives or more, whose front is to be spread over directions that are given.

    Directions are those of Das & Dennis 1998, https://doi.org/10.1137/S1052623496307510, of as fine a lattice as has no
    more points than there are members. On a new batch members are evaluated again with their children, at twice the
    cost, and the corners of the front are found anew, so that no lucky batch decides.

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
        ConfigError: a number is out of range, or there are fewer members than objectives.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.005, 0.5))",
        "width": "tag(log, interval(0.1, 5.0))",
        "mutation": "tag(log, interval(0.001, 1.0))",
    }
    ideal: Tensor | None  # (k,), the best of each objective so far
    worst: Tensor | None  # (k,)
    extreme: Tensor | None  # (k, k), the corners of the front

    def __init__(
        self,
        popsize: int = 100,
        variation: Kind = "real",
        sigma: float | None = 0.05,
        width: float = 1.0,
        crossover: float = 1.0,
        eta_crossover: float = 30.0,
        eta_mutation: float = 20.0,
        mutation: float | None = None,
        choice: Rule = "knee",
        weights: dict[str, float] = {},
        tolerance: float = 0.0,
    ):
        settings = Settings(variation, sigma, width, crossover, eta_crossover, eta_mutation, mutation)
        super().__init__(popsize, settings, Choice(choice, weights, tolerance))
        self._forget()

    def prepare(self, objectives: int) -> int:
        enough(self.popsize, objectives, "nsga3")
        self._forget()
        return self.popsize

    def selection(self) -> Selection:
        return TournamentSelection(func_comp=comp_by_cv_then_random)

    def survive(self, individuals: Any, count: int, own: np.ndarray) -> Any:
        if self.fresh:  # what was known are readings of another batch
            self._forget()
        survival = ReferenceDirectionSurvival(directions(self.popsize, individuals.get("F").shape[1]))
        norm = survival.norm
        if self.ideal is not None and self.worst is not None and self.extreme is not None:
            norm.ideal_point, norm.worst_point = self.ideal.cpu().numpy(), self.worst.cpu().numpy()
            norm.extreme_points = self.extreme.cpu().numpy()
        with warnings.catch_warnings():  # pymoo turns all off when it divides by zero
            chosen = self.by(survival, individuals, count)
        self.ideal, self.worst, self.extreme = (
            torch.from_numpy(np.array(known)).to(self.noted)
            for known in (norm.ideal_point, norm.worst_point, norm.extreme_points)
        )
        return chosen

    def _forget(self) -> None:
        for name in ("ideal", "worst", "extreme"):
            self.register_buffer(name, None)
