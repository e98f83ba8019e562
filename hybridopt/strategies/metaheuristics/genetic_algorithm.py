"""A genetic algorithm on real vectors: truncation selection, uniform crossover, Gaussian mutation.

Uniform crossover: Syswerda 1989, "Uniform Crossover in Genetic Algorithms". On networks: Prellberg & Kramer 2018,
"Limited Evaluation Evolutionary Optimization of Large Neural Networks", https://arxiv.org/abs/1806.09819; the averaging
of losses is that of Morse & Stanley 2016, https://doi.org/10.1145/2908812.2908916. In the code of the former, the test
set is the validation set; here they are two.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.search import Search
from hybridopt.engine.randomness import normal
from hybridopt.toolbox import inheritance
from hybridopt.toolbox.fitness import averaged
from hybridopt.toolbox.ranges import at_least, positive, share
from hybridopt.toolbox.schedule import Decay, Schedule
from hybridopt.toolbox.selection import select


class GeneticAlgorithm(Search):
    """Genetic algorithm: the best are parents, each weight of a child comes from one of two, and all are mutated.

    Good for losses without a gradient on networks of up to some ten thousand weights, where crossover helps.

    The elite is evaluated again on every batch, with everybody else, so that no lucky batch decides. The best of the
    last generation is recommended.

    Args:
        popsize: members of a generation.
        truncation: the share of a generation that become parents.
        elite: how many of the best live on unchanged.
        crossover: the share of children that have two parents; the others are mutated copies.
        sigma: the standard deviation of the mutations at the start, and of the first generation around the start.
        schedule: how it goes to ``final_sigma`` times itself over the budget.
        final_sigma: the last standard deviation as a share of the first.
        averaging: what a loss on a new batch counts against what a member has inherited from its parents; 1 counts the
            new one alone.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.005, 0.5))",
        "truncation": "interval(0.05, 0.5)",
        "final_sigma": "tag(log, interval(0.02, 1.0))",
    }
    hands_over: ClassVar[frozenset[str]] = frozenset({"population"})
    takes: ClassVar[frozenset[str]] = frozenset({"population"})
    learns_from_points: ClassVar[bool] = True
    members: Tensor  # (popsize, d)
    inherited: Tensor  # (popsize,), losses from the parents; NaN at first
    best: Tensor  # (d,)

    def __init__(
        self,
        popsize: int = 100,
        truncation: float = 0.2,
        elite: int = 5,
        crossover: float = 1.0,
        sigma: float = 0.03,
        schedule: Schedule = "exponential",
        final_sigma: float = 0.1,
        averaging: float = 1.0,
    ):
        super().__init__()
        at_least("strategy", 2, popsize=popsize)  # one alone has nobody to be better than
        at_least("strategy", 0, elite=elite)
        share("strategy", "(0, 1]", truncation=truncation, averaging=averaging)
        share("strategy", "[0, 1]", crossover=crossover)
        positive("strategy", sigma=sigma)
        self.popsize, self.truncation, self.elite, self.crossover = popsize, truncation, elite, crossover
        self.sigma, self.averaging = sigma, averaging
        self.schedule = Decay(schedule, final_sigma, "final_sigma")

    def start(self, x0: Tensor) -> None:
        first = x0 + self.sigma * normal((self.popsize, len(x0)), x0, self.generator)
        first[0] = x0
        self.register_buffer("members", inheritance.members(self.context.inherited, first))
        self.register_buffer("inherited", x0.new_full((self.popsize,), math.nan))
        self.register_buffer("best", x0.clone())

    def ask(self) -> Tensor:
        return self.members

    def tell(self, population: Tensor, losses: Tensor) -> None:
        losses = averaged(self.inherited, losses.to(self.members), self.averaging)
        order = losses.argsort(stable=True)
        self.best = population[order[0]].clone()
        elite, parents = order[: min(self.elite, self.popsize)], order[: self._parents()]
        children, inherited = self._children(population[parents], losses[parents], self.popsize - len(elite))
        self.members = torch.cat([population[elite], children])
        self.inherited = torch.cat([losses[elite], inherited])

    def recommend(self) -> Tensor:
        return self.best

    def handover(self) -> Handover:
        return Handover(population=self.members)

    def _parents(self) -> int:
        return max(1, round(self.truncation * self.popsize))

    def _children(self, parents: Tensor, losses: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Mutated children (count, d), and the losses that they inherit: the mean of their parents'."""
        device = self.generator.device
        pairs = torch.randint(len(parents), (2, count), generator=self.generator, device=device)
        alone = torch.rand(count, generator=self.generator, device=device) >= self.crossover
        pairs[1] = torch.where(alone, pairs[0], pairs[1])
        first, second = pairs.to(parents.device)
        size = (count, parents.shape[1])
        coins = torch.rand(size, generator=self.generator, device=device).lt_(0.5).to(parents.device)
        children = select(coins, parents.index_select(0, first), parents.index_select(0, second))
        mutations = normal(size, parents, self.generator).mul_(self.sigma * self.schedule(self.progress))
        return children.add_(mutations), (losses[first] + losses[second]) / 2
