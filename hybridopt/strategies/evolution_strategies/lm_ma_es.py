"""Limited-memory matrix adaptation (Loshchilov, Glasmachers & Beyer 2019), https://doi.org/10.1109/TEVC.2018.2855049.

CMA-ES's matrix as a product of a few rank-one changes, O(d log d) in memory and in work. Symbols and constants are
those of their Algorithm 1; constants that exceed 1 in few dimensions are cut there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.search import Search
from hybridopt.engine.randomness import normal
from hybridopt.toolbox.ranges import at_least, positive


class LMMAES(Search):
    """A Gaussian that learns a few directions in which to be wide, and its width, for large networks.

    Good for the covariance of CMA-ES where d x d numbers, or an eigenvalue decomposition, are too many.

    Args:
        popsize: samples per generation; None is 4 + 3 ln d.
        directions: m, how many directions are learnt; None is 4 + 3 ln d.
        sigma: the width at the start.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.005, 0.5))",
        "popsize": "choice(27, 60, 120)",
    }
    hands_over: ClassVar[frozenset[str]] = frozenset({"sigma"})
    y: Tensor  # (d,), the mean
    width: Tensor  # a scalar
    p_s: Tensor  # (d,), the path that the width follows
    m: Tensor  # (m, d), the directions
    t: Tensor  # a whole number, generations so far

    def __init__(self, popsize: int | None = None, directions: int | None = None, sigma: float = 0.05):
        super().__init__()
        at_least("strategy", 1, popsize=popsize, directions=directions)
        positive("strategy", sigma=sigma)
        self.popsize, self.directions, self.sigma = popsize, directions, sigma

    def start(self, x0: Tensor) -> None:
        self.register_buffer("y", x0)
        self.register_buffer("width", x0.new_tensor(self.sigma))
        self.register_buffer("p_s", torch.zeros_like(x0))
        self.register_buffer("m", x0.new_zeros(self.directions or usual(len(x0)), len(x0)))
        self.register_buffer("t", torch.zeros((), dtype=torch.int64))

    def ask(self) -> Tensor:
        rates = Rates.of(self.popsize, self.m)
        self._z = normal((rates.popsize, len(self.y)), self.y, self.generator)
        self._d = self._z
        for c, direction in zip(rates.c_d, self.m[: int(self.t)], strict=False):
            self._d = (1 - c) * self._d + c * (self._d @ direction)[:, None] * direction
        return self.y + self.width * self._d

    def tell(self, population: Tensor, losses: Tensor) -> None:
        if not torch.isfinite(losses).any():
            return
        rates = Rates.of(self.popsize, self.m)
        best = losses.argsort(stable=True)[: len(rates.weights)].to(self.y.device)
        z, d = rates.weights @ self._z[best], rates.weights @ self._d[best]
        self.y = self.y + self.width * d
        self.p_s = (1 - rates.c_s) * self.p_s + math.sqrt(rates.mu_w * rates.c_s * (2 - rates.c_s)) * z
        kept, new = 1 - rates.c_c, (rates.mu_w * rates.c_c * (2 - rates.c_c)).sqrt()
        self.m = kept[:, None] * self.m + new[:, None] * z
        growth = rates.c_s / 2 * (float(self.p_s.square().mean()) - 1)
        self.width = (self.width * math.exp(min(1.0, growth))).clamp(min=1e-12, max=1e6)
        self.t = self.t + 1

    def recommend(self) -> Tensor:
        return self.y

    def handover(self) -> Handover:
        """Its width, the same in each coordinate."""
        return Handover(sigma=self.width.expand_as(self.y).clone())


@dataclass(frozen=True)
class Rates:
    """What follows from the number of samples and of dimensions, by the paper's table 1.

    Args:
        popsize: samples per generation.
        weights: (popsize // 2,), of the better half.
        c_s: of the path.
        c_d: (m,), of the directions in a sample.
        c_c: (m,), of the directions' own paths.
    """

    popsize: int
    weights: Tensor
    c_s: float
    c_d: Tensor
    c_c: Tensor

    @property
    def mu_w(self) -> float:
        """The effective number of samples that count."""
        return float(1 / self.weights.square().sum())

    @classmethod
    def of(cls, popsize: int | None, m: Tensor) -> Rates:
        """For directions m (m, d), and the usual popsize if None."""
        count, d = popsize or usual(m.shape[1]), m.shape[1]
        ranks = torch.arange(1, max(1, count // 2) + 1, dtype=torch.float64)
        weights = math.log(len(ranks) + 0.5) - ranks.log()
        i = torch.arange(len(m), dtype=torch.float64)
        c_d, c_c = (1 / (1.5**i * d)).clamp(max=1.0), (count / (4.0**i * d)).clamp(max=1.0)
        return cls(count, (weights / weights.sum()).to(m), min(1.0, 2 * count / d), c_d.to(m), c_c.to(m))


def usual(d: int) -> int:
    """4 + 3 ln d, of samples and of directions."""
    return 4 + int(3 * math.log(d))
