"""The gradient with as much noise as an evolution strategy's estimate has (Zhang, Clune & Stanley 2017).

https://arxiv.org/abs/1712.06564. An estimate from n mirrored pairs in d dimensions is the gradient and isotropic noise,
at a cosine of sqrt(n / (n + d)); so is this one, at the price of a gradient. How it trains tells how an evolution
strategy of any population would, without paying for it.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from hybridopt.core.oracle import Oracle
from hybridopt.engine.randomness import normal
from hybridopt.toolbox.gradient import GradientDescent
from hybridopt.toolbox.ranges import at_least
from hybridopt.toolbox.schedule import Schedule


class SGDProxy(GradientDescent):
    """Adam on the gradient plus noise of the size that a population's estimate has.

    Good for asking what population an evolution strategy would need, at the price of a gradient.

    Args:
        pairs: n, mirrored pairs of the population that is imitated.
        lr: Adam's step size at the start.
        schedule: how the step size goes to ``final_lr`` times itself over the budget.
        final_lr: the last step size as a share of the first.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {"lr": "tag(log, interval(0.002, 0.2))"}

    def __init__(
        self,
        pairs: int = 50,
        lr: float = 0.02,
        schedule: Schedule = "cosine",
        final_lr: float = 0.05,
    ):
        super().__init__(lr, schedule, final_lr)
        at_least("strategy", 1, pairs=pairs)
        self.pairs = pairs

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.lr)

    @torch.no_grad()
    def adjust(self, oracle: Oracle, progress: float) -> None:
        """g <- g + |g| / sqrt(n) xi, whose cosine with g is sqrt(n / (n + d)) on average."""
        moved = self.optimizer.param_groups[0]["params"]
        gradients = [value.grad for value in moved if value.grad is not None]
        scale = torch.stack([gradient.norm() for gradient in gradients]).norm() / self.pairs**0.5
        for gradient in gradients:
            gradient.add_(scale * normal(gradient.shape, gradient, oracle.generator))
