"""Simulated annealing (Kirkpatrick, Gelatt, Vecchi 1983), https://doi.org/10.1126/science.220.4598.671.

Rere, Fanany and Arymurthy (2015, https://doi.org/10.1016/j.procs.2015.12.114) train networks with it. What the papers
leave open is settled as follows: the initial temperature by the median rule below, geometric cooling, Gaussian
proposals that shrink with the temperature, and one minibatch per temperature.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.strategy import Search
from hybridopt.engine.randomness import normal
from hybridopt.toolbox.annealing import initial_temperature
from hybridopt.toolbox.ranges import at_least, positive

NOISE = 2**20  # values of noise that are drawn at once


class SimulatedAnnealing(Search):
    """Simulated annealing: a random walk that takes every step down and, while it is hot, some steps up.

    Good for losses without a gradient, rugged or not, on one process: it tries one candidate at a time.

    The temperature stays the same while a batch lasts. On a new batch the current point is evaluated again, and
    charged, so that a lucky batch is never remembered. The recommendation is the current point, for the same reason:
    when the walk has cooled down it is the best one in the sense of an average, whereas the lowest loss ever seen
    belongs to the easiest batch.

    Args:
        sigma: the standard deviation of a proposal at the start.
        sigma_decay: the proposal's scale at the end of the budget, relative to the start.
        temperature_decay: the temperature at the end of the budget, relative to the start.
        probes: how many random proposals set the initial temperature.
        moves_per_step: how many proposals are made on one batch, that is at one temperature.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.002, 0.2))",
        "temperature_decay": "tag(log, interval(1e-5, 0.1))",
    }
    theta: Tensor  # (d,)
    loss: Tensor  # a scalar, of theta on this batch
    T0: Tensor  # a scalar, the temperature at the start

    def __init__(
        self,
        sigma: float = 0.003,
        sigma_decay: float = 0.1,
        temperature_decay: float = 1e-3,
        probes: int = 50,
        moves_per_step: int = 200,
    ):
        super().__init__()
        positive("strategy", sigma=sigma, sigma_decay=sigma_decay, temperature_decay=temperature_decay)
        at_least("strategy", 1, probes=probes, moves_per_step=moves_per_step)
        self.sigma = sigma
        self.sigma_decay = sigma_decay
        self.temperature_decay = temperature_decay
        self.probes = probes
        self.moves_per_step = moves_per_step

    def start(self, x0: Tensor) -> None:
        self.register_buffer("theta", x0)
        self.register_buffer("loss", x0.new_tensor(math.inf))
        self.register_buffer("T0", x0.new_zeros(()))

    def first_ask(self) -> Tensor:
        noise = self._normal(self._affordable_probes())
        return torch.cat([self.theta[None], self.theta + self.sigma * noise])

    def first_tell(self, population: Tensor, losses: Tensor) -> None:
        self.T0 = initial_temperature(losses[1:] - losses[0])

    def ask(self) -> Tensor:
        if self.move == 0:
            self._cool()
        candidate = torch.add(self.theta, self._noise[self.move % len(self._noise)], alpha=self.s)
        if self.move % len(self._noise) == len(self._noise) - 1:
            self._noise = self._normal(len(self._noise))
        return torch.stack([self.theta, candidate]) if self.fresh else candidate[None]

    def tell(self, population: Tensor, losses: Tensor) -> None:
        if len(losses) > 1:  # the current point was evaluated on the new batch
            self.loss = losses[0]
        self._accept_or_reject(population[-1], losses[-1])

    def recommend(self) -> Tensor:
        return self.theta

    def _affordable_probes(self) -> int:
        """Calibration uses at most 10 % of the budget."""
        return max(1, min(self.probes, self.horizon // 10 - 1))

    def _cool(self) -> None:
        """The temperature and the scale for this batch, and the noise of its moves."""
        self.T = float(self.T0) * self.temperature_decay**self.progress
        self.s = self.sigma * self.sigma_decay**self.progress
        self._noise = self._normal(min(self.moves_per_step, max(1, NOISE // len(self.theta))))

    def _normal(self, n: int) -> Tensor:
        return normal((n, len(self.theta)), self.theta, self.generator)

    def _accept_or_reject(self, candidate: Tensor, loss: Tensor) -> None:
        """The Metropolis rule."""
        delta, T = float(loss) - float(self.loss), float(self.T)
        u = float(torch.rand((), generator=self.generator, device=self.generator.device))
        if delta <= 0 or (T > 0 and u < math.exp(-delta / T)):
            self.theta, self.loss = candidate, loss
