"""MOEA/D (Zhang & Li 2007), https://doi.org/10.1109/TEVC.2007.892759, made of pymoo's parts.

The children of a generation are made, evaluated and compared together, since a population is evaluated at once; the
paper's are made one after the other. Pymoo's own variant that does so (0.6.2, ``ParallelMOEAD``) hands children to
directions that are not their parents'.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pymoo.algorithms.moo.moead import NeighborhoodSelection
from pymoo.core.duplicate import NoDuplicateElimination
from pymoo.core.selection import Selection
from pymoo.decomposition.pbi import PBI
from pymoo.decomposition.tchebicheff import Tchebicheff
from torch import Tensor

from hybridopt.toolbox.fronts import Choice, Rule
from hybridopt.toolbox.ranges import at_least, share
from hybridopt_pymoo.directions import directions
from hybridopt_pymoo.search import PymooSearch, enough
from hybridopt_pymoo.variation import Kind, Settings, population


class MOEAD(PymooSearch):
    """MOEA/D: each member follows a direction of its own, and takes over what its neighbours' children find for it.

    Good for many members on a smooth front, each of which solves a weighted problem and helps its neighbours.

    A member is judged by the largest weighted distance to the best values so far (Tchebycheff) of two objectives, by
    the penalised distance along its direction (PBI) of more. Directions are those of Das & Dennis 1998,
    https://doi.org/10.1137/S1052623496307510, of as fine a lattice as has no more than ``popsize`` points. On a new
    batch members are evaluated again with their children, at twice the cost, so that no lucky batch decides.

    Args:
        popsize: members of a generation at most, and as many children.
        neighbours: directions that share parents and children with each one, itself included.
        neighbour_mating: the share of children whose parents are neighbours; those of others are anyone.
        normalise: whether objectives are scaled to their range in the population (section V of the paper), so that
            their units do not count.
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
        "neighbours": "choice(5, 10, 20)",
    }
    ideal: Tensor | None  # (k,), the best of each objective so far

    def __init__(
        self,
        popsize: int = 100,
        neighbours: int = 20,
        neighbour_mating: float = 0.9,
        normalise: bool = True,
        variation: Kind = "real",
        sigma: float | None = 0.05,
        width: float = 1.0,
        crossover: float = 1.0,
        eta_crossover: float = 20.0,
        eta_mutation: float = 20.0,
        mutation: float | None = None,
        choice: Rule = "knee",
        weights: dict[str, float] = {},
        tolerance: float = 0.0,
    ):
        settings = Settings(variation, sigma, width, crossover, eta_crossover, eta_mutation, mutation)
        super().__init__(popsize, settings, Choice(choice, weights, tolerance))
        at_least("strategy", 2, neighbours=neighbours)
        share("strategy", "[0, 1]", neighbour_mating=neighbour_mating)
        self.neighbours, self.neighbour_mating, self.normalise = neighbours, neighbour_mating, normalise
        self.register_buffer("ideal", None)
        self._turns = np.arange(0)  # the directions of the children just asked for

    def prepare(self, objectives: int) -> int:
        enough(self.popsize, objectives, "moead")
        self.register_buffer("ideal", None)
        return self.popsize if objectives == 1 else len(directions(self.popsize, objectives))

    def selection(self) -> Selection:
        return NeighborhoodSelection(prob=self.neighbour_mating)

    def offspring(self) -> Tensor:
        weights, near = self._directions()
        points = self.variation.points(self.members)
        parents = population(points, self.values.cpu().double().numpy())
        problem = self.variation.problem(points, self.x0, weights.shape[1])
        self._turns = self.random.permutation(len(parents))
        pairs = self.selection().do(
            problem, parents, len(parents), 2, neighbors=near[self._turns], random_state=self.random
        )
        made = self.mating(NoDuplicateElimination()).do(
            problem, parents, 2 * len(parents), parents=pairs, n_max_iterations=1, **self._with()
        )
        return self.variation.vectors(made[: len(parents)].get("X"), self.x0)  # the first child of each pair

    def chosen(self, own: np.ndarray, new: np.ndarray) -> np.ndarray:
        both = np.concatenate([own, new])
        fine = np.isfinite(both).all(axis=1)
        best = both[fine].min(axis=0)
        if self.ideal is not None and not self.fresh:  # else what was known are readings of another batch
            best = np.minimum(best, self.ideal.cpu().numpy())
        self.ideal = torch.from_numpy(best).to(self.noted)
        places = np.arange(len(self.members))
        if len(own):
            self._replace(places, self._scaled(both, best, fine[: len(own)]), fine)
        return places

    def _replace(self, places: np.ndarray, scaled: np.ndarray, fine: np.ndarray) -> None:
        """Give each direction the child that is better there than who is in its place, one child after the other."""
        weights, near = self._directions()
        judge = Tchebicheff() if weights.shape[1] <= 2 else PBI()

        def judged(which: np.ndarray, around: np.ndarray) -> np.ndarray:
            known = np.where(fine[which, None], scaled[which], 0.0)
            values = judge.do(known, weights[around], _type="one_to_one", ideal_point=np.zeros(weights.shape[1]))
            return np.where(fine[which], values, np.inf)

        for child, turn in enumerate(self._turns, start=len(places)):
            around = near[turn]
            better = judged(np.full(len(around), child), around) < judged(places[around], around)
            places[around[better]] = child

    def _scaled(self, both: np.ndarray, best: np.ndarray, fine_own: np.ndarray) -> np.ndarray:
        """Distances to the best value of each objective, over the range of the members if asked for."""
        distances = both - best
        if not self.normalise or not fine_own.any():
            return distances
        spread = distances[: len(fine_own)][fine_own].max(axis=0)
        return distances / np.where(spread > 0, spread, 1.0)

    def _directions(self) -> tuple[np.ndarray, np.ndarray]:
        """The weights (n, k) of each place, and the places (n, t) of its neighbours, the nearest first."""
        count, objectives = self.values.shape
        weights = directions(self.popsize, objectives)
        weights = weights if len(weights) == count else np.ones((count, 1))
        apart = np.linalg.norm(weights[:, None] - weights[None], axis=2)
        return weights, np.argsort(apart, axis=1, kind="stable")[:, : self.neighbours]
