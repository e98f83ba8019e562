"""Finite differences along the coordinates (Kiefer & Wolfowitz 1952), https://doi.org/10.1214/aoms/1177729392.

A gradient costs one loss a coordinate and one more. A random block of coordinates at a time costs as many losses as it
has (Nesterov 2012, https://doi.org/10.1137/100802001, with derivatives): on large networks that is the only way to take
more than a few steps, and the one that ``coordinates`` opens. DeepZero (Chen et al. 2024,
https://arxiv.org/abs/2310.02025) trains networks in this way, pruned first.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.search import Search
from hybridopt.errors import ConfigError
from hybridopt.toolbox.descent import AdamDescent
from hybridopt.toolbox.ranges import at_least, one_of, positive
from hybridopt.toolbox.schedule import Decay, Schedule

NUMBERS = 1e9  # in the matrix of candidates


class CoordinateFiniteDifferences(Search):
    """Descent along forward differences, of all coordinates or of some at a time.

    Good for a few hundred parameters and a loss that is exact; or a check of somebody's gradient.

    Args:
        coordinates: how many coordinates a step looks at, drawn each time; None looks at all.
        mu: the distance at which losses are asked for.
        lr: the step size at the start.
        descent: "adam" rescales the differences; "sgd" steps along them. Coordinates that are not looked at stay.
        schedule: how the step size goes to ``final_lr`` times itself over the budget.
        final_lr: the last step size as a share of the first.

    Raises:
        ConfigError: a number is out of range, or the candidates of a step do not fit into memory.
    """

    search_space: ClassVar[dict[str, str]] = {
        "lr": "tag(log, interval(1e-3, 0.3))",
        "mu": "tag(log, interval(1e-4, 0.1))",
    }
    theta: Tensor  # (d,)

    def __init__(
        self,
        coordinates: int | None = 300,
        mu: float = 1e-2,
        lr: float = 0.1,
        descent: Literal["adam", "sgd"] = "adam",
        schedule: Schedule = "cosine",
        final_lr: float = 0.1,
    ):
        super().__init__()
        at_least("strategy", 1, coordinates=coordinates)
        positive("strategy", mu=mu, lr=lr)
        one_of("strategy", ("adam", "sgd"), descent=descent)
        self.coordinates, self.mu, self.lr, self.descent = coordinates, mu, lr, descent
        self.schedule = Decay(schedule, final_lr)
        self.adam = AdamDescent() if descent == "adam" else None

    def start(self, x0: Tensor) -> None:
        d = len(x0)
        count = min(d, self.coordinates or d)
        if count * d > NUMBERS:
            raise ConfigError(
                f"{count} candidates of {d} parameters do not fit into memory: set strategy.coordinates to "
                f"{int(NUMBERS / d)} or less, or take strategy=mezo."
            )
        self.register_buffer("theta", x0)
        if self.adam is not None:
            self.adam.start(x0)

    def ask(self) -> Tensor:
        d = len(self.theta)
        count = min(d, self.coordinates or d)
        if count == d:
            self._chosen = torch.arange(d, device=self.theta.device)
        else:
            order = torch.randperm(d, generator=self.generator, device=self.generator.device)
            self._chosen = order[:count].to(self.theta.device)
        population = self.theta.repeat(count + 1, 1)
        population[torch.arange(1, count + 1), self._chosen] += self.mu
        return population

    def tell(self, population: Tensor, losses: Tensor) -> None:
        gradient = torch.zeros_like(self.theta)
        gradient[self._chosen] = self.differences(losses).to(self.theta)
        rate = self.lr * self.schedule(self.progress)
        step = -rate * gradient if self.adam is None else self.adam.step(gradient, rate)
        seen = torch.zeros_like(self.theta).index_fill_(0, self._chosen, 1.0)
        self.theta = self.theta + seen * step

    def recommend(self) -> Tensor:
        return self.theta

    def differences(self, losses: Tensor) -> Tensor:
        """(L(theta + mu e_i) - L(theta)) / mu, or 0 where one of them failed. (k + 1,) -> (k,)."""
        slopes = (losses[1:] - losses[0]) / self.mu
        return torch.where(torch.isfinite(slopes), slopes, 0.0)
