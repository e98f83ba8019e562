"""Pure random search (Brooks 1958), https://doi.org/10.1287/opre.6.2.244."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hybridopt.errors import ConfigError
from hybridopt.strategy import Search


class RandomSearch(Search):
    """Random search: independent samples around the start vector, of which the best one is kept.

    It learns nothing, which is its use: whatever beats it has learned from the losses. The incumbent is one member of
    each population, evaluated on the same batch as the newcomers, so that it has to win again and again and the
    luckiest batch decides nothing.

    Args:
        popsize: the incumbent and popsize - 1 newcomers.
        sigma: the standard deviation of the samples around the start vector.
    """

    def __init__(self, popsize: int = 100, sigma: float = 0.15):
        super().__init__()
        if popsize < 2:
            raise ConfigError(f"strategy.popsize must be at least 2, the incumbent and a newcomer, but is {popsize}.")
        if not (sigma > 0 and math.isfinite(sigma)):
            raise ConfigError(f"strategy.sigma must be a positive number, but is {sigma:g}.")
        self.popsize = popsize
        self.sigma = sigma

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x0", x0.clone())
        self.register_buffer("incumbent", x0.clone())

    def ask(self) -> Tensor:
        size = (self.popsize - 1, len(self.x0))
        noise = torch.randn(size, generator=self.generator, device=self.generator.device)
        return torch.cat([self.incumbent[None], self.x0 + self.sigma * noise.to(self.x0)])

    def tell(self, population: Tensor, losses: Tensor) -> None:
        self.incumbent = population[losses.argmin()].clone()  # a tie goes to the first, the incumbent

    def recommend(self) -> Tensor:
        return self.incumbent
