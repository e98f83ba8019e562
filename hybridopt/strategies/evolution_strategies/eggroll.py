"""EGGROLL, evolution guided by low-rank perturbations (Sarkar et al. 2025), https://arxiv.org/abs/2511.16652.

OpenAI-ES whose perturbation of each weight is a product of two thin factors. A member's layer is then the common layer
plus a little, so that a whole population costs little more than plain inference, and the update, a sum of outer
products, is one matrix product a layer. The paper standardises losses and steps plainly; here they are ranked and Adam
steps, as in this project's ``openai_es``, so that the two differ in nothing but the noise.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.search import Search
from hybridopt.engine.population import LowRankPopulation
from hybridopt.toolbox.descent import AdamDescent, Shaping, shaped
from hybridopt.toolbox.ranges import at_least, even, positive
from hybridopt.toolbox.schedule import Decay, Schedule


class Eggroll(Search):
    """Evolution strategy with mirrored perturbations of low rank, and Adam on the estimated gradient.

    Good for large layers, where perturbations of low rank cost a fraction of an evolution strategy's.

    Args:
        popsize: losses per generation; even, since samples come in mirrored pairs.
        rank: r, the number of columns of the factors; parameters that are no matrices get full noise.
        sigma: the standard deviation of the perturbation of each parameter.
        lr: Adam's step size at the start.
        schedule: how the step size goes to ``final_lr`` times itself over the budget.
        final_lr: the last step size as a share of the first.
        shaping: centred ranks in [-1/2, 1/2] for the losses, or the losses themselves ("none").
        weight_decay: coefficient of the L2 penalty.

    Raises:
        ConfigError: a number is out of range.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"losses", "direct"})
    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.005, 0.5))",
        "lr": "tag(log, interval(0.002, 0.2))",
    }
    x: Tensor  # (d,)
    shaping: Shaping

    def __init__(
        self,
        popsize: int = 100,
        rank: int = 1,
        sigma: float = 0.05,
        lr: float = 0.02,
        schedule: Schedule = "cosine",
        final_lr: float = 0.05,
        shaping: Shaping = "centered_rank",
        weight_decay: float = 0.0,
    ):
        super().__init__()
        even("strategy", "samples come in mirrored pairs", popsize=popsize)
        at_least("strategy", 1, rank=rank)
        at_least("strategy", 0, weight_decay=weight_decay)
        positive("strategy", sigma=sigma, lr=lr)
        self.popsize, self.rank, self.sigma, self.lr = popsize, rank, sigma, lr
        self.schedule = Decay(schedule, final_lr)
        self.shaping, self.weight_decay = shaping, weight_decay
        self.adam = AdamDescent()

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x", x0)
        self.adam.start(x0)

    def ask(self) -> LowRankPopulation:
        self._A, self._B, self._e = {}, {}, {}
        for name, shape in self.shapes.items():
            if len(shape) < 2:
                self._e[name] = self._normal(*shape)
            else:
                self._A[name] = self._normal(shape[0], self.rank)
                self._B[name] = self._normal(shape[1:].numel(), self.rank)
        left = {name: torch.cat([A, -A]) for name, A in self._A.items()}
        right = {name: torch.cat([B, B]) for name, B in self._B.items()}
        dense = {name: torch.cat([e, -e]) for name, e in self._e.items()}
        return LowRankPopulation(self.x, self.shapes, left, right, dense, self.sigma)

    def tell(self, population: LowRankPopulation, losses: Tensor) -> None:
        gradient = self.estimate(losses) + self.weight_decay * self.x
        self.x += self.adam.step(gradient, self.lr * self.schedule(self.progress))

    def recommend(self) -> Tensor:
        return self.x

    def estimate(self, losses: Tensor) -> Tensor:
        """The gradient estimate, sum_i (L(x + sigma E_i) - L(x - sigma E_i)) E_i / (2 m sigma). (2m,) -> (d,)."""
        pairs = len(losses) // 2
        values = shaped(losses, self.shaping, self.sigma)
        weights = ((values[:pairs] - values[pairs:]) / (2 * pairs)).to(self.x)
        return torch.cat([self._weighted(name, weights).reshape(-1) for name in self.shapes])

    def _weighted(self, name: str, weights: Tensor) -> Tensor:
        """sum_i weights_i E_i for one parameter; A_i and B_i side by side make it one product."""
        if name in self._e:
            return weights @ self._e[name].flatten(1)
        A, B = self._A[name] * weights[:, None, None], self._B[name]
        return A.movedim(1, 0).flatten(1) @ B.movedim(1, 0).flatten(1).mT / self.rank**0.5

    def _normal(self, *shape: int) -> Tensor:
        pairs = self.popsize // 2
        return torch.randn(pairs, *shape, generator=self.generator, device=self.x.device, dtype=self.x.dtype)
