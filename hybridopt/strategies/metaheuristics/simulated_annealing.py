"""Simulated annealing (Kirkpatrick, Gelatt, Vecchi 1983), https://doi.org/10.1126/science.220.4598.671.

Rere, Fanany and Arymurthy (2015, https://doi.org/10.1016/j.procs.2015.12.114) train networks with it. What the papers
leave open is settled as follows: the initial temperature by the median rule below, geometric cooling, Gaussian
proposals that shrink with the temperature, and one minibatch per temperature. Proposals with the tails of a Cauchy
distribution are those of Szu & Hartley 1987, https://doi.org/10.1016/0375-9601(87)90796-1.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.search import Search
from hybridopt.engine.randomness import normal, uniform
from hybridopt.toolbox.annealing import initial_temperature
from hybridopt.toolbox.ranges import at_least, positive

NOISE = 2**20  # values of noise that are drawn at once
SHORTEST = 1e-3  # what a Cauchy distributed step is divided by at least


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
        coordinates: how many parameters a proposal changes, drawn for each proposal; None is all of them. One at a time
            solves functions of some variables with many local minima, where moves of all variables stay in one.
        tails: "normal", or "cauchy" for proposals of which some are much longer than the others.
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
        coordinates: int | None = None,
        tails: Literal["normal", "cauchy"] = "normal",
        temperature_decay: float = 1e-3,
        probes: int = 50,
        moves_per_step: int = 200,
    ):
        super().__init__()
        positive("strategy", sigma=sigma, sigma_decay=sigma_decay, temperature_decay=temperature_decay)
        at_least("strategy", 1, coordinates=coordinates, probes=probes, moves_per_step=moves_per_step)
        self.sigma = sigma
        self.sigma_decay = sigma_decay
        self.coordinates, self.tails = coordinates, tails
        self.temperature_decay = temperature_decay
        self.probes = probes
        self.moves_per_step = moves_per_step

    def start(self, x0: Tensor) -> None:
        self.register_buffer("theta", x0)
        self.register_buffer("loss", x0.new_tensor(math.inf))
        self.register_buffer("T0", x0.new_zeros(()))

    def first_ask(self) -> Tensor:
        noise = self._steps(self._affordable_probes())
        return torch.cat([self.theta[None], self.theta + self.sigma * noise])

    def first_tell(self, population: Tensor, losses: Tensor) -> None:
        self.T0 = initial_temperature(losses[1:] - losses[0])

    def ask(self) -> Tensor:
        move = self.move
        if move == 0:
            self._cool()
        many, theta = len(self._noise), self.theta
        candidate = torch.add(theta, self._noise[move % many], alpha=self.s)
        if move % many == many - 1:
            self._noise = self._steps(many)
        return torch.stack([theta, candidate]) if self.fresh else candidate[None]

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
        self._noise = self._steps(min(self.moves_per_step, max(1, NOISE // len(self.theta))))

    def _steps(self, n: int) -> Tensor:
        """Proposals (n, d) of scale 1."""
        d = len(self.theta)
        steps = normal((n, d), self.theta, self.generator)
        if self.coordinates is not None and self.coordinates < d:
            chosen = uniform((n, d), self.theta, self.generator).topk(self.coordinates).indices
            steps = torch.zeros_like(steps).scatter(1, chosen, steps.gather(1, chosen))
        if self.tails == "cauchy":
            steps = steps / normal((n, 1), self.theta, self.generator).abs().clamp(min=SHORTEST)
        return steps

    def _accept_or_reject(self, candidate: Tensor, loss: Tensor) -> None:
        """The Metropolis rule."""
        delta, T = float(loss) - float(self.loss), float(self.T)
        u = float(torch.rand((), generator=self.generator, device=self.generator.device))
        if delta <= 0 or (T > 0 and u < math.exp(-delta / T)):
            self.theta, self.loss = candidate, loss
