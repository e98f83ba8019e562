"""Forward gradients (Baydin, Pearlmutter, Syme, Wood & Torr 2022), https://arxiv.org/abs/2202.08587.

One pass of forward-mode differentiation gives the slope along a random direction v; the slope times v is an unbiased
estimate of the gradient. No backward pass, and no finite difference.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.engine.randomness import normal
from hybridopt.toolbox.curvature import Curvature
from hybridopt.toolbox.descent import AdamDescent
from hybridopt.toolbox.ranges import at_least, positive
from hybridopt.toolbox.schedule import Decay, Schedule


class ForwardGradient(Strategy):
    """Descent along random directions by their exact slopes, in forward mode.

    Good for networks whose activations do not fit into memory, or code that only goes forward.

    Args:
        samples: directions per step.
        lr: the step size at the start, of which ``probe`` takes less where the loss is curved.
        descent: "sgd" steps along the estimate; "adam" rescales it.
        schedule: how the step size goes to ``final_lr`` times itself over the budget.
        final_lr: the last step size as a share of the first.
        probe: directions in which the loss's curvature is measured on the first batch; the step size is at most what
            that allows (:mod:`hybridopt.toolbox.curvature`). 0 takes ``lr`` as it is.

    Raises:
        ConfigError: a number is out of range.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"jvp", "losses", "direct"})
    search_space: ClassVar[dict[str, str]] = {
        "lr": "tag(log, interval(1e-4, 0.1))",
        "descent": "choice(sgd, adam)",
    }
    theta: Tensor  # (d,)

    def __init__(
        self,
        samples: int = 1,
        lr: float = 6.5e-3,
        descent: Literal["sgd", "adam"] = "sgd",
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
        probe: int = 2,
    ):
        super().__init__()
        at_least("strategy", 1, samples=samples)
        positive("strategy", lr=lr)
        self.samples, self.lr, self.descent = samples, lr, descent
        self.schedule = Decay(schedule, final_lr)
        self.adam = AdamDescent() if descent == "adam" else None
        self.curvature = Curvature(probe)

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.register_buffer("theta", oracle.start)
        if self.adam is not None:
            self.adam.start(self.theta)
        self.curvature.start(self.theta)
        probes = self.curvature.ask(self.theta, oracle.generator, oracle.horizon(batch))
        if probes is not None:
            self.curvature.tell(probes, oracle.losses(probes, batch))

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        loss, gradient = self.estimate(oracle, batch)
        first = self.curvature.rate(self.lr) if self.adam is None else self.curvature.size(self.lr)
        rate = first * self.schedule(oracle.progress)
        self.theta = self.theta + (-rate * gradient if self.adam is None else self.adam.step(gradient, rate))
        oracle.assign(self.theta)
        return {"loss": loss, "lr": rate}

    def estimate(self, oracle: Oracle, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, and the mean of (J v) v over the directions, (d,)."""
        v = normal((self.samples, len(self.theta)), self.theta, oracle.generator)
        loss, slopes = oracle.jvp(v, batch)
        slopes = torch.where(torch.isfinite(slopes), slopes, 0.0)
        return loss, slopes.to(v) @ v / self.samples

    def recommend(self) -> Tensor:
        return self.theta
