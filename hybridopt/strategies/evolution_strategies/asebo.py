"""ASEBO, adaptive evolution strategies by active subspaces.

Choromanski, Pacchiano, Parker-Holder, Tang & Sindhwani 2019, https://arxiv.org/abs/1903.04268. The principal directions
of past estimates span a subspace in which most samples are drawn, as many as it has dimensions; how much is drawn
outside of it depends on how much of the last estimate lay there.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.search import Search
from hybridopt.engine.randomness import normal
from hybridopt.toolbox.descent import AdamDescent
from hybridopt.toolbox.fitness import bounded
from hybridopt.toolbox.ranges import at_least, positive, share
from hybridopt.toolbox.schedule import Decay, Schedule

TINY = 1e-12


class ASEBO(Search):
    """An evolution strategy that learns the subspace in which the gradient lives, and samples there.

    Good for losses that change in a few directions only.

    Args:
        pairs: mirrored pairs of a generation, until the subspace is known.
        fewest: mirrored pairs at least, once it is known.
        warmup: generations until then.
        history: estimates that the subspace is found from.
        decay: what an estimate counts less with each generation.
        variance: the share of the estimates' variance that the subspace holds.
        residual: what of an estimate counts as outside of the subspace: "principal" the principal directions that were
            left out, as in the authors' code, "all" whatever is not in it, as in the paper. None is the former where
            each batch is the same one; on minibatches, whose estimates differ, it explores too little.
        explore: the most of a sample's variance that is spread over all directions; None is 1, or 0.5 with
            ``residual=all``: most of an estimate is noise, outside of any subspace, which would never be used.
        sigma: the length of a perturbation.
        lr: Adam's step size at the start, on estimates of length 1.
        schedule: how the step size goes to ``final_lr`` times itself over the budget.
        final_lr: the last step size as a share of the first.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.02, 2.0))",
        "lr": "tag(log, interval(0.002, 0.2))",
        "explore": "interval(0.05, 1.0)",
    }
    x: Tensor  # (d,)
    estimates: Tensor  # (k, d), the last gradients
    alpha: Tensor  # a scalar, the share of the variance that is spread over all directions
    generation: Tensor  # a whole number
    principal: Tensor  # a boolean, which residual it is

    def __init__(
        self,
        pairs: int = 50,
        fewest: int = 10,
        warmup: int = 10,
        history: int = 20,
        decay: float = 0.99,
        variance: float = 0.9,
        residual: Literal["principal", "all"] | None = None,
        explore: float | None = None,
        sigma: float = 0.1,
        lr: float = 0.02,
        schedule: Schedule = "cosine",
        final_lr: float = 0.05,
    ):
        super().__init__()
        at_least("strategy", 1, pairs=pairs, fewest=fewest, warmup=warmup)
        at_least("strategy", 2, history=history)
        share("strategy", "(0, 1]", decay=decay, variance=variance, explore=explore)
        positive("strategy", sigma=sigma, lr=lr)
        self.pairs, self.fewest, self.warmup, self.history = pairs, min(fewest, pairs), warmup, history
        self.decay, self.variance, self.sigma, self.lr = decay, variance, sigma, lr
        self.residual, self.explore = residual, explore
        self.schedule = Decay(schedule, final_lr)
        self.adam = AdamDescent()

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x", x0)
        self.register_buffer("estimates", x0.new_empty(0, len(x0)))
        self.register_buffer("principal", torch.tensor((self.residual or self._usual) == "principal"))
        self.register_buffer("alpha", x0.new_tensor(self._most))
        self.register_buffer("generation", torch.zeros((), dtype=torch.int64))
        self.adam.start(x0)

    def ask(self) -> Tensor:
        self._basis = None
        if int(self.generation) >= self.warmup and len(self.estimates) >= 2:
            self._basis, self._left_out = principal_directions(self.estimates, self.variance)
        directions = self._directions()
        self._directions_now = directions / directions.norm(dim=1, keepdim=True).clamp(min=TINY)
        step = self.sigma * self._directions_now
        return torch.cat([self.x + step, self.x - step])

    def tell(self, population: Tensor, losses: Tensor) -> None:
        values = bounded(losses).to(self.x)
        count = len(self._directions_now)
        gradient = (values[:count] - values[count:]) @ self._directions_now / (2 * self.sigma * count)
        if self._basis is not None:
            inside = self._basis.T @ gradient
            outside = self._left_out.T @ gradient if self.principal else gradient - self._basis @ inside
            self.alpha = (outside.norm() / inside.norm().clamp(min=TINY)).clamp(0.0, self._most)
        self.estimates = torch.cat([self.decay * self.estimates, gradient[None]])[-self.history :]
        rate = self.lr * self.schedule(self.progress)
        self.x = self.x + self.adam.step(gradient / gradient.norm().clamp(min=TINY), rate)
        self.generation = self.generation + 1

    def recommend(self) -> Tensor:
        return self.x

    @property
    def _usual(self) -> str:
        return "principal" if self.context.exact else "all"

    @property
    def _most(self) -> float:
        """The bound of alpha."""
        return self.explore if self.explore is not None else 1.0 if self.principal else 0.5

    def _directions(self) -> Tensor:
        """Normal with covariance alpha / d I + (1 - alpha) / r U U', (pairs, d)."""
        d = len(self.x)
        if self._basis is None:
            return self._normal(self.pairs, d)
        rank = self._basis.shape[1]
        count = max(self.fewest, min(self.pairs, rank))
        everywhere, inside = self._normal(count, d), self._normal(count, rank) @ self._basis.T
        return (self.alpha / d) ** 0.5 * everywhere + ((1 - self.alpha) / rank) ** 0.5 * inside

    def _normal(self, count: int, size: int) -> Tensor:
        return normal((count, size), self.x, self.generator)


def principal_directions(rows: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Of the principal directions of rows (k, d), the fewest with this share of the variance (d, r), and the others."""
    _, values, directions = torch.linalg.svd(rows, full_matrices=False)
    held = values.square().cumsum(0) / values.square().sum().clamp(min=TINY)
    rank = min(len(values), int((held < share).sum()) + 1)
    return directions[:rank].T, directions[rank:].T
