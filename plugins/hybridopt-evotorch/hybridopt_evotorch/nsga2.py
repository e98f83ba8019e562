"""EvoTorch's genetic algorithm on several objectives, which is NSGA-II but for its mutation and its crowds.

Deb, Pratap, Agarwal & Meyarivan 2002, https://doi.org/10.1109/4235.996017. EvoTorch: Toklu et al. 2023,
https://arxiv.org/abs/2302.12600.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from hybridopt.toolbox import ranges
from hybridopt.toolbox.front_population import FrontPopulation
from hybridopt.toolbox.fronts import Choice, Rule

SMALLEST = 4  # members, for tournaments between two pairs


class EvoTorchNSGA2(FrontPopulation):
    """NSGA-II by EvoTorch's operators: simulated binary crossover without bounds, Gaussian mutation of all weights.

    Good for two or three objectives of networks on a GPU, where the population stays.

    Parents are chosen by the front that they are in, and by chance within it. Of the last front that has room EvoTorch
    (0.6.1) takes the order of the crowding distances for their ranks, so that it is not the most crowded who leave;
    ``nsga2`` of hybridopt-pymoo does as the paper says. On a new batch members are evaluated again with their children,
    at twice the cost, so that no lucky batch decides. A member that has failed is no parent while there are others, and
    lives on only where there are too few of these.

    Args:
        popsize: members of a generation, and children; even.
        sigma: the standard deviation of mutations, and of the first generation around the start.
        mutation: the share of coordinates that mutate.
        eta: the larger, the closer the children of a crossover are to their parents.
        tournament_size: candidates for each parent.
        choice: what is recommended of the front: knee, weights or lexicographic.
        weights: of the objectives by name, for "weights": ``+strategy.weights.loss=1``.
        tolerance: of "lexicographic": what counts as equally good, as a share of an objective's range.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.005, 0.5))",
        "mutation": "tag(log, interval(0.01, 1.0))",
    }
    conformance: ClassVar[dict[str, Any]] = {
        **FrontPopulation.conformance,
        "settings": [{"choice": "weights", "weights": {"loss": 1.0}}],
    }

    def __init__(
        self,
        popsize: int = 100,
        sigma: float = 0.03,
        mutation: float = 1.0,
        eta: float = 15.0,
        tournament_size: int = 2,
        choice: Rule = "knee",
        weights: dict[str, float] = {},
        tolerance: float = 0.0,
    ):
        super().__init__(Choice(choice, weights, tolerance))
        ranges.at_least("strategy", SMALLEST, popsize=popsize)
        ranges.even("strategy", "two children come of two parents", popsize=popsize)
        ranges.positive("strategy", sigma=sigma, eta=eta)
        ranges.share("strategy", "(0, 1]", mutation=mutation)
        ranges.at_least("strategy", 1, tournament_size=tournament_size)
        self.popsize, self.sigma, self.mutation = popsize, sigma, mutation
        self.eta, self.tournament_size = eta, tournament_size

    def first(self, x0: Tensor) -> Tensor:
        generator = self.generator
        steps = torch.randn((self.popsize, len(x0)), generator=generator, device=generator.device).to(x0)
        steps[0] = 0
        return x0 + self.sigma * steps

    def offspring(self) -> Tensor:
        from hybridopt_evotorch.library import imported, untouched

        operators = imported("evotorch.operators")
        able = self.able if int(self.able.sum()) > 1 else torch.ones_like(self.able)
        problem, batch = self._batch(self.members[able], self.values[able])
        cross = operators.SimulatedBinaryCrossOver(
            problem, tournament_size=self.tournament_size, eta=self.eta, num_children=self.popsize
        )
        mutate = operators.GaussianMutation(problem, stdev=self.sigma, mutation_probability=self.mutation)
        with untouched(self.members.device):
            return mutate(cross(batch)).values.as_subclass(Tensor).clone()

    def survivors(self, own: Tensor, new: Tensor) -> Tensor:
        from hybridopt_evotorch.library import untouched

        if not len(own):  # as in EvoTorch, the first members are all parents
            return torch.arange(len(new), device=new.device)
        both = torch.cat([own, new])
        fine = torch.isfinite(both).all(dim=1)
        able, failed = fine.nonzero(), (~fine).nonzero()[:, 0]
        _, batch = self._batch(able.double(), both[fine])
        with untouched(both.device):
            best = batch.take_best(self.popsize).values.as_subclass(Tensor)[:, 0].long()
        return torch.cat([best, failed[: self.popsize - len(best)]])

    def _batch(self, points: Tensor, readings: Tensor) -> tuple[Any, Any]:
        """EvoTorch's problem, and its population of these points (n, d) and readings (n, k)."""
        from hybridopt_evotorch.library import problem, untouched

        with untouched(points.device):
            made = problem(self, points[0], readings.shape[1])
            made.spare = None
            batch = made.generate_batch(len(points), empty=True)
        batch.set_values(points)
        batch.set_evals(readings.to(made.eval_dtype))
        return made, batch
