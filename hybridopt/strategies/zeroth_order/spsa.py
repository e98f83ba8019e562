"""Simultaneous perturbation stochastic approximation (Spall 1992), https://doi.org/10.1109/9.119632.

Gains as in Spall 1998, "Implementation of the Simultaneous Perturbation Algorithm", https://doi.org/10.1109/7.705889:
c_k = c / (k + 1)^0.101 and a_k = a / (k + 1 + A)^0.602, where A is a tenth of the steps, and a is chosen so that the
first steps have a wanted size. Nevergrad's SPSA has a = 1e-5 and c = 0.1 for all, with which the weights of a network
hardly move.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.search import Search
from hybridopt.engine.population import SeededPopulation
from hybridopt.engine.randomness import uniform
from hybridopt.toolbox.curvature import Curvature
from hybridopt.toolbox.ranges import at_least, positive

ALPHA, GAMMA = 0.602, 0.101  # Spall's practical exponents
STABILITY = 0.1  # A, as a share of the steps


class SPSA(Search):
    """Two losses per step, on both sides of a random direction of signs, whatever the number of parameters.

    Good for noisy losses with two measurements per step; its gains decay by a rule that needs no budget.

    Args:
        c: the distance at which the losses are asked for, at the start.
        first_step: the mean size of the first steps in a coordinate, by which the gain is chosen.
        calibration: pairs of losses that the gain is chosen from, on the first batch.
        probe: directions in which the loss's curvature is measured on the first batch; the gain is at most what that
            allows (:mod:`hybridopt.toolbox.curvature`). 0 takes the gain that ``first_step`` gives.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "c": "tag(log, interval(1e-3, 0.1))",
        "first_step": "tag(log, interval(1e-4, 0.1))",
    }
    theta: Tensor  # (d,)
    k: Tensor  # a whole number, steps so far
    a: Tensor  # a scalar, the gain
    _probes: SeededPopulation | None

    def __init__(self, c: float = 0.01, first_step: float = 0.003, calibration: int = 10, probe: int = 2):
        super().__init__()
        positive("strategy", c=c, first_step=first_step)
        at_least("strategy", 1, calibration=calibration)
        self.c, self.first_step, self.calibration = c, first_step, calibration
        self.curvature = Curvature(probe)

    def start(self, x0: Tensor) -> None:
        self.register_buffer("theta", x0)
        self.register_buffer("k", torch.zeros((), dtype=torch.int64))
        self.register_buffer("a", x0.new_tensor(self.first_step))
        self.curvature.start(x0)

    def first_ask(self) -> Tensor:
        """Pairs along random signs and, before them, the candidates by which curvature is measured."""
        self._probes = self.curvature.ask(self.theta, self.generator, self.horizon)
        pairs = self._pairs(min(self.calibration, max(1, self.horizon // 4)))
        return pairs if self._probes is None else torch.cat([self._probes.materialize(), pairs])

    def first_tell(self, population: Tensor, losses: Tensor) -> None:
        """The gain with which the first steps have the wanted size, and the first step, by the mean of the pairs."""
        if self._probes is not None:
            probes = len(self._probes)
            self.curvature.tell(self._probes, losses[:probes])
            population, losses = population[probes:], losses[probes:]
        size = float(self._slopes(losses).abs().mean())
        stability = (1 + self._stability()) ** ALPHA
        if size > 0:
            self.a.fill_(self.curvature.rate(self.first_step / size) * stability)
        self.tell(population, losses)

    def ask(self) -> Tensor:
        return self._pairs(1)

    def tell(self, population: Tensor, losses: Tensor) -> None:
        slopes = self._slopes(losses)
        gain = self.a / (self.k + 1 + self._stability()) ** ALPHA
        direction = gain * (slopes @ self._signs)
        self.theta = self.theta - (direction / len(slopes) if len(slopes) > 1 else direction)
        self.k = self.k + 1

    def recommend(self) -> Tensor:
        return self.theta

    def _pairs(self, count: int) -> Tensor:
        """Candidates (2 count, d) on both sides, along random signs."""
        coins = uniform((count, len(self.theta)), self.theta, self.generator)
        self._signs, self._distance = torch.where(coins < 0.5, -1.0, 1.0).to(self.theta), self._next_distance()
        pairs = self.theta.new_empty(2, *self._signs.shape)
        torch.add(self.theta, self._signs, alpha=self._distance, out=pairs[0])
        torch.add(self.theta, self._signs, alpha=-self._distance, out=pairs[1])
        return pairs.flatten(0, 1)

    def _slopes(self, losses: Tensor) -> Tensor:
        half = len(losses) // 2
        slopes = (losses[:half] - losses[half:]).to(self.theta) / (2 * self._distance)
        return slopes.nan_to_num(0.0, 0.0, 0.0)

    def _next_distance(self) -> float:
        return self.c / (int(self.k) + 1) ** GAMMA

    def _stability(self) -> float:
        return STABILITY * self.horizon / 2
