"""The (1+1) evolution strategy with the one-fifth success rule (Rechenberg 1973).

I. Rechenberg, "Evolutionsstrategie", Frommann-Holzboog, 1973. The step size grows by exp(1/3) with a success and
shrinks by the fourth root of that with a failure, so that it stays where it is at one success in five (Kern et al.
2004, https://doi.org/10.1023/B:NACO.0000023416.59689.4e).
"""

import math

import torch
from torch import Tensor

from hybridopt import Search
from hybridopt.toolbox import ranges

GROWTH = math.exp(1 / 3)


class OnePlusOneES(Search):
    """One parent, one child, and a step size that aims at one success in five.

    The parent is evaluated again with each child, on the same batch, and charged: neither of the two is luckier. The
    step size never grows beyond ``sigma``: a small batch is easily pleased, and large steps are what pleases it.

    Args:
        sigma: the standard deviation of the first steps, and of the largest ones.

    Raises:
        ConfigError: sigma is not positive.
    """

    def __init__(self, sigma: float = 0.05):
        super().__init__()
        ranges.positive("strategy", sigma=sigma)
        self.sigma = sigma

    def start(self, x0: Tensor) -> None:
        self.register_buffer("parent", x0)
        self.register_buffer("step_size", x0.new_tensor(self.sigma))

    def ask(self) -> Tensor:
        noise = torch.randn(self.parent.shape, generator=self.generator, device=self.generator.device)
        return torch.stack([self.parent, self.parent + self.step_size * noise.to(self.parent)])

    def tell(self, population: Tensor, losses: Tensor) -> None:
        success = losses[1] <= losses[0]
        self.parent = torch.where(success, population[1], self.parent)
        change = torch.where(success, GROWTH, GROWTH**-0.25)
        self.step_size = (self.step_size * change).clamp(max=self.sigma)

    def recommend(self) -> Tensor:
        return self.parent
