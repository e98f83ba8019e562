"""Population-based incremental learning (Baluja 1994), https://www.ri.cmu.edu/pub_files/pub1/baluja_shumeet_1994_2/.

A probability for each bit moves towards the bits of the best sample. The compact genetic algorithm (Harik, Lobo &
Goldberg 1999, https://doi.org/10.1109/4235.797971) is nearly the same, with two samples per generation.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.search import Search
from hybridopt.engine.randomness import uniform
from hybridopt.errors import ConfigError
from hybridopt.toolbox.ranges import at_least, positive, share


class PBIL(Search):
    """Search over bits, each a step of ``scale`` to one side of the start or the other.

    Good for choosing, not weighing: which weights of a random network to use, or any other bits.

    With ``encoding=supermask encoding.rule=sign`` the bits say which weights of a random network are used.

    Args:
        popsize: samples per generation.
        lr: how far the probabilities move towards the best samples.
        best: how many samples they move towards.
        scale: the distance of a candidate from the start in each coordinate.
        margin: probabilities stay this far away from 0 and 1.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "lr": "tag(log, interval(0.01, 0.5))",
        "scale": "tag(log, interval(0.02, 0.5))",
    }
    x0: Tensor  # (d,)
    p: Tensor  # (d,), the probability of each bit

    def __init__(self, popsize: int = 100, lr: float = 0.1, best: int = 10, scale: float = 0.1, margin: float = 0.01):
        super().__init__()
        at_least("strategy", 1, popsize=popsize, best=best)
        share("strategy", "(0, 1]", lr=lr)
        positive("strategy", scale=scale)
        if not 0 <= margin < 0.5:
            raise ConfigError(f"strategy.margin must lie in [0, 0.5), but is {margin:g}.")
        self.popsize, self.lr, self.best, self.scale, self.margin = popsize, lr, best, scale, margin

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x0", x0)
        self.register_buffer("p", torch.full_like(x0, 0.5))

    def ask(self) -> Tensor:
        coins = uniform((self.popsize, len(self.p)), self.p, self.generator)
        self._bits = (coins < self.p).to(self.p)
        return self.x0 + self.scale * (2 * self._bits - 1)

    def tell(self, population: Tensor, losses: Tensor) -> None:
        best = losses.argsort(stable=True)[: self.best]
        best = best[torch.isfinite(losses[best])]
        if len(best):
            moved = torch.lerp(self.p, self._bits[best].mean(dim=0), self.lr)
            self.p = moved.clamp(self.margin, 1 - self.margin)

    def recommend(self) -> Tensor:
        """The mean of what is drawn; its sides are the likelier bits."""
        return self.x0 + self.scale * (2 * self.p - 1)
