"""Limited-memory matrix adaptation (Loshchilov, Glasmachers & Beyer 2019), https://doi.org/10.1109/TEVC.2018.2855049.

CMA-ES's matrix as a product of a few rank-one changes, O(d log d) in memory and in work. Symbols and constants are
those of their Algorithm 1; constants that exceed 1 in few dimensions are cut there.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.strategy import Search
from hybridopt.engine.randomness import normal
from hybridopt.errors import ConfigError, check_positive


class LMMAES(Search):
    """A Gaussian that learns a few directions in which to be wide, and its width, for large networks.

    Good for the covariance of CMA-ES where d x d numbers, or an eigenvalue decomposition, are too many.

    Args:
        popsize: samples a generation; None is 4 + 3 ln d.
        directions: m, how many directions are learnt; None is 4 + 3 ln d.
        sigma: the width at the start.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.005, 0.5))",
        "popsize": "choice(27, 60, 120)",
    }

    def __init__(self, popsize: int | None = None, directions: int | None = None, sigma: float = 0.05):
        super().__init__()
        for name, value in (("popsize", popsize), ("directions", directions)):
            if value is not None and value < 1:
                raise ConfigError(f"strategy.{name} must be at least 1, but is {value}.")
        check_positive("strategy", sigma=sigma)
        self.popsize, self.directions, self.sigma = popsize, directions, sigma

    def start(self, x0: Tensor) -> None:
        d = len(x0)
        usual = 4 + int(3 * math.log(d))
        self._count, m = self.popsize or usual, self.directions or usual
        ranks = torch.arange(1, max(1, self._count // 2) + 1, dtype=torch.float64)
        weights = math.log(len(ranks) + 0.5) - ranks.log()
        self._weights = (weights / weights.sum()).to(x0)
        self._mu_w = float(1 / self._weights.square().sum())
        self._c_s = min(1.0, 2 * self._count / d)
        i = torch.arange(m, dtype=torch.float64)
        self._c_d = (1 / (1.5**i * d)).clamp(max=1.0).to(x0)
        self._c_c = (self._count / (4.0**i * d)).clamp(max=1.0).to(x0)
        self.register_buffer("y", x0)
        self.register_buffer("width", x0.new_tensor(self.sigma))
        self.register_buffer("p_s", torch.zeros_like(x0))
        self.register_buffer("m", x0.new_zeros(m, d))
        self.register_buffer("t", torch.zeros((), dtype=torch.int64))

    def ask(self) -> Tensor:
        self._z = normal((self._count, len(self.y)), self.y, self.generator)
        self._d = self._z
        for c, direction in zip(self._c_d, self.m[: int(self.t)], strict=False):
            self._d = (1 - c) * self._d + c * (self._d @ direction)[:, None] * direction
        return self.y + self.width * self._d

    def tell(self, population: Tensor, losses: Tensor) -> None:
        if not torch.isfinite(losses).any():
            return
        best = losses.argsort(stable=True)[: len(self._weights)].to(self.y.device)
        z, d = self._weights @ self._z[best], self._weights @ self._d[best]
        self.y = self.y + self.width * d
        self.p_s = (1 - self._c_s) * self.p_s + math.sqrt(self._mu_w * self._c_s * (2 - self._c_s)) * z
        kept, new = 1 - self._c_c, (self._mu_w * self._c_c * (2 - self._c_c)).sqrt()
        self.m = kept[:, None] * self.m + new[:, None] * z
        growth = self._c_s / 2 * (float(self.p_s.square().mean()) - 1)
        self.width = (self.width * math.exp(min(1.0, growth))).clamp(min=1e-12, max=1e6)
        self.t = self.t + 1

    def recommend(self) -> Tensor:
        return self.y
