"""Pure random search (Brooks 1958), https://doi.org/10.1287/opre.6.2.244."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.search import Search
from hybridopt.engine.randomness import normal
from hybridopt.toolbox.ranges import at_least, positive


class RandomSearch(Search):
    """Random search: independent samples around the start vector, of which the best one is kept.

    Good for a floor: what does not beat it has learnt nothing.

    It learns nothing, which is its use: whatever beats it has learned from the losses. The incumbent is evaluated on
    each new batch together with newcomers, so that it has to win again and again and the luckiest batch decides
    nothing.

    Args:
        popsize: the incumbent and popsize - 1 newcomers.
        sigma: the standard deviation of the samples around the start vector.
        moves_per_step: populations on one batch; from the second one on the incumbent's loss is known, and its place
            is a newcomer's. More than one suits a small popsize.
    """

    search_space: ClassVar[dict[str, str]] = {"sigma": "tag(log, interval(0.01, 1.0))"}
    x0: Tensor  # (d,)
    incumbent: Tensor  # (d,)
    loss: Tensor  # a scalar, of the incumbent on this batch

    def __init__(self, popsize: int = 100, sigma: float = 0.15, moves_per_step: int = 1):
        super().__init__()
        at_least("strategy", 2, popsize=popsize)  # the incumbent and a newcomer
        positive("strategy", sigma=sigma)
        at_least("strategy", 1, moves_per_step=moves_per_step)
        self.popsize = popsize
        self.sigma = sigma
        self.moves_per_step = moves_per_step

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x0", x0)
        self.register_buffer("incumbent", x0.clone())
        self.register_buffer("loss", x0.new_tensor(math.inf))

    def ask(self) -> Tensor:
        size = (self.popsize - self.fresh, len(self.x0))
        newcomers = normal(size, self.x0, self.generator).mul_(self.sigma).add_(self.x0)
        return torch.cat([self.incumbent[None], newcomers]) if self.fresh else newcomers

    def tell(self, population: Tensor, losses: Tensor) -> None:
        if self.fresh:
            self.loss = losses[0]
        best = losses.argmin()
        better = losses[best] < self.loss  # a tie goes to the incumbent
        self.incumbent = torch.where(better, population[best], self.incumbent)
        self.loss = torch.where(better, losses[best], self.loss)

    def recommend(self) -> Tensor:
        return self.incumbent
