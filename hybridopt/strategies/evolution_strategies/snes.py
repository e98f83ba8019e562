"""Separable natural evolution strategy (Schaul, Glasmachers & Schmidhuber 2011), https://doi.org/10.1145/2001576.2001692.

Algorithm 6 of Wierstra et al. 2014, "Natural Evolution Strategies", https://jmlr.org/papers/v15/wierstra14a.html, with
its default utilities, learning rates and population size.
"""

from __future__ import annotations

import math
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.search import Search
from hybridopt.engine.randomness import normal
from hybridopt.toolbox import inheritance
from hybridopt.toolbox.ranges import at_least, positive


class SNES(Search):
    """Natural-gradient descent of a Gaussian with a width of its own in each coordinate.

    Good for a few hundred parameters of unequal scales; with thousands its widths learn slowly.

    Args:
        popsize: samples per generation; None is 4 + 3 ln d.
        sigma: the widths at the start, or their mean where a phase before hands over second moments.
        center_lr: the learning rate of the mean.
        sigma_lr: the learning rate of the widths; None is (3 + ln d) / (5 sqrt d).

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.005, 0.5))",
        "center_lr": "tag(log, interval(0.1, 2.0))",
    }
    hands_over: ClassVar[frozenset[str]] = frozenset({"sigma"})
    takes: ClassVar[frozenset[str]] = frozenset({"sigma", "second_moments"})
    mu: Tensor  # (d,)
    widths: Tensor  # (d,)

    def __init__(
        self, popsize: int | None = None, sigma: float = 0.05, center_lr: float = 1.0, sigma_lr: float | None = None
    ):
        super().__init__()
        at_least("strategy", 1, popsize=popsize)
        positive("strategy", sigma=sigma, center_lr=center_lr, sigma_lr=sigma_lr)
        self.popsize, self.sigma, self.center_lr, self.sigma_lr = popsize, sigma, center_lr, sigma_lr

    def start(self, x0: Tensor) -> None:
        self.register_buffer("mu", x0)
        self.register_buffer("widths", inheritance.widths(self.context.inherited, self.sigma, x0))

    def ask(self) -> Tensor:
        d = len(self.mu)
        self._s = normal((self.popsize or 4 + int(3 * math.log(d)), d), self.mu, self.generator)
        return (self.widths * self._s).add_(self.mu)

    def tell(self, population: Tensor, losses: Tensor) -> None:
        d = len(self.mu)
        rate = self.sigma_lr or (3 + math.log(d)) / (5 * math.sqrt(d))
        weights = utilities(losses).to(self.mu)
        gradient_mu = weights @ self._s
        gradient_sigma = weights @ (self._s**2).sub_(1)
        self.mu = self.mu + self.center_lr * self.widths * gradient_mu
        self.widths = self.widths * torch.exp((rate / 2 * gradient_sigma).clamp(-1, 1))

    def recommend(self) -> Tensor:
        return self.mu

    def handover(self) -> Handover:
        return Handover(sigma=self.widths)


def utilities(losses: Tensor) -> Tensor:
    """u_k = max(0, ln(n/2 + 1) - ln k) / sum - 1/n for the k-th best of n; they sum to zero. (n,) -> (n,)."""
    shares = shares_by_rank(len(losses)).to(losses.device)
    return torch.empty_like(shares).scatter_(0, losses.argsort(stable=True), shares)


@cache
def shares_by_rank(n: int) -> Tensor:
    """The utilities of the best, the second best and so on, (n,)."""
    ranks = torch.arange(1, n + 1, dtype=torch.float64)
    raw = (math.log(n / 2 + 1) - ranks.log()).clamp(min=0)
    return raw / raw.sum() - 1 / n if n > 1 else torch.zeros(1, dtype=torch.float64)
