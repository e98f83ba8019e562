"""MeZO, memory-efficient zeroth-order descent (Malladi et al. 2023), https://arxiv.org/abs/2305.17333.

Simultaneous perturbation (SPSA: Spall 1992, https://doi.org/10.1109/9.119632) whose direction is kept as a seed. The
authors perturb the weights in place and undo it by subtraction, which leaves rounding errors behind; here the
unperturbed vector is kept, and restored exactly. Networks are evaluated in evaluation mode, as theirs.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.errors import ConfigError
from hybridopt.population import SeededPopulation
from hybridopt.schedule import factor
from hybridopt.strategy import Search


class Mezo(Search):
    """Descent along random directions: two losses a direction, and no more memory than a copy of the parameters.

    Args:
        samples: directions a step, each of two losses (the paper's n-SPSA).
        epsilon: the distance at which the losses are asked for, on both sides.
        lr: the step size at the start.
        schedule: how the step size goes to ``final_lr`` times itself over the budget.
        final_lr: the last step size as a share of the first.
        weight_decay: coefficient of the L2 penalty.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "epsilon": "tag(log, interval(1e-4, 0.01))",
        "lr": "tag(log, interval(5e-4, 0.05))",
    }

    def __init__(
        self,
        samples: int = 1,
        epsilon: float = 1e-3,
        lr: float = 5e-3,
        schedule: Literal["constant", "linear", "cosine", "exponential"] = "cosine",
        final_lr: float = 0.01,
        weight_decay: float = 0.0,
    ):
        super().__init__()
        if samples < 1:
            raise ConfigError(f"strategy.samples must be at least 1, but is {samples}.")
        if epsilon <= 0 or lr <= 0:
            raise ConfigError(f"strategy.epsilon and strategy.lr must be positive, but are {epsilon:g} and {lr:g}.")
        factor(schedule, 0.5, final_lr)  # refuses what is no schedule
        self.samples, self.epsilon, self.lr = samples, epsilon, lr
        self.schedule, self.final_lr, self.weight_decay = schedule, final_lr, weight_decay

    def start(self, x0: Tensor) -> None:
        self.register_buffer("theta", x0)

    def ask(self) -> SeededPopulation:
        seeds = torch.randint(2**32, (self.samples,), generator=self.generator, device=self.generator.device)
        scales = torch.full((self.samples,), self.epsilon)
        return SeededPopulation(self.theta, seeds.cpu().repeat(2), torch.cat([scales, -scales]))

    def tell(self, population: SeededPopulation, losses: Tensor) -> None:
        slopes = self.slopes(losses)
        rate = self.lr * factor(self.schedule, self.progress, self.final_lr)
        self.theta.mul_(1 - rate * self.weight_decay)
        for part, change in population.weighted_noise(slopes * (-rate / self.samples)):
            self.theta[part] += change

    def recommend(self) -> Tensor:
        return self.theta

    def slopes(self, losses: Tensor) -> Tensor:
        """(L(theta + epsilon z) - L(theta - epsilon z)) / 2 epsilon, or 0 where one of them failed. (2k,) -> (k,)."""
        slopes = (losses[: self.samples] - losses[self.samples :]) / (2 * self.epsilon)
        return torch.where(torch.isfinite(slopes), slopes, 0.0)
