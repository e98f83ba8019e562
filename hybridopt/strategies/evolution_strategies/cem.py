"""The cross-entropy method (Rubinstein 1999, https://doi.org/10.1023/A:1010091220143), with a diagonal Gaussian.

For the noise that keeps the widths from collapsing too early see Szita & Lorincz 2006,
https://doi.org/10.1162/neco.2006.18.12.2936.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.search import Search
from hybridopt.engine.randomness import normal
from hybridopt.toolbox import inheritance
from hybridopt.toolbox.ranges import at_least, positive, share


class CEM(Search):
    """Cross-entropy method: the Gaussian is fitted to the best of its samples, again and again.

    Good for a robust first try at losses without a gradient, with hardly a setting to tune.

    Args:
        popsize: samples per generation.
        elite: the share of them that the Gaussian is fitted to.
        sigma: its width at the start, or the mean of its widths where a phase before hands over second moments.
        smoothing: what of the old mean and width remains at each fit, from 0 to below 1.
        extra: width that is added at the start, and less of it to the end of the budget.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.01, 0.5))",
        "elite": "interval(0.05, 0.5)",
    }
    hands_over: ClassVar[frozenset[str]] = frozenset({"sigma"})
    takes: ClassVar[frozenset[str]] = frozenset({"sigma", "second_moments"})
    learns_from_points: ClassVar[bool] = True
    mu: Tensor  # (d,)
    widths: Tensor  # (d,)

    def __init__(
        self,
        popsize: int = 100,
        elite: float = 0.2,
        sigma: float = 0.1,
        smoothing: float = 0.0,
        extra: float = 0.02,
    ):
        super().__init__()
        at_least("strategy", 1, popsize=popsize)
        share("strategy", "(0, 1]", elite=elite)
        positive("strategy", sigma=sigma)
        share("strategy", "[0, 1)", smoothing=smoothing)
        at_least("strategy", 0, extra=extra)
        self.popsize, self.elite, self.sigma, self.smoothing, self.extra = popsize, elite, sigma, smoothing, extra

    def start(self, x0: Tensor) -> None:
        self.register_buffer("mu", x0)
        self.register_buffer("widths", inheritance.widths(self.context.inherited, self.sigma, x0))

    def ask(self) -> Tensor:
        noise = normal((self.popsize, len(self.mu)), self.mu, self.generator)
        return noise.mul_((self.widths**2 + (self.extra * (1 - self.progress)) ** 2).sqrt()).add_(self.mu)

    def tell(self, population: Tensor, losses: Tensor) -> None:
        finite = int(torch.isfinite(losses).sum())
        count = min(finite, max(1, round(self.elite * self.popsize)))
        if count == 0:
            return  # all failed: nothing is learned from that
        best = population.index_select(0, losses.argsort(stable=True)[:count])
        a = self.smoothing
        self.mu = a * self.mu + (1 - a) * best.mean(dim=0)
        if count > 1:
            self.widths = a * self.widths + (1 - a) * deviation(best)

    def recommend(self) -> Tensor:
        return self.mu

    def handover(self) -> Handover:
        return Handover(sigma=self.widths)


def deviation(samples: Tensor) -> Tensor:
    """The standard deviation of each coordinate, (n, d) -> (d,), as ``std(dim=0, correction=0)``.

    On a CPU that counts in float64, one number at a time; here all at once, which is ten times faster.
    """
    if not samples.is_cpu or samples.dtype != torch.float32:
        return samples.std(dim=0, correction=0)
    exact = samples.double()
    return (exact - exact.mean(dim=0)).square_().mean(dim=0).sqrt_().to(samples)
