"""Stochastic gradient Langevin dynamics (Welling & Teh 2011), https://dl.acm.org/doi/10.5555/3104482.3104568.

Gradient descent with as much Gaussian noise as makes it draw from exp(-loss / temperature) when steps are small.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import nn

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record
from hybridopt.engine.randomness import normal
from hybridopt.toolbox.gradient import GradientDescent
from hybridopt.toolbox.ranges import at_least
from hybridopt.toolbox.schedule import Schedule


class SGLD(GradientDescent):
    """Langevin dynamics: theta <- theta - lr g + sqrt(2 lr T) xi; the last sample is recommended.

    Good for several answers instead of one, drawn from about the posterior.

    Args:
        lr: the step size at the start.
        temperature: T; for a mean loss over N samples, 1/N draws from the Bayesian posterior.
        weight_decay: coefficient of the L2 penalty, the prior's precision over N.
        schedule: how the step size goes to ``final_lr`` times itself over the budget; steps must shrink to converge.
        final_lr: the last step size as a share of the first.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "lr": "tag(log, interval(1e-3, 1.0))",
        "temperature": "tag(log, interval(1e-7, 1e-2))",
    }
    conformance: ClassVar[dict[str, Any]] = {
        "expected_failures": {
            "writes_through_the_oracle": "its noise belongs to the optimiser's parameters, and is a part of the update"
        }
    }

    def __init__(
        self,
        lr: float = 0.1,
        temperature: float = 1e-5,
        weight_decay: float = 0.0,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
    ):
        super().__init__(lr, schedule, final_lr)
        at_least("strategy", 0, temperature=temperature, weight_decay=weight_decay)
        self.temperature, self.weight_decay = temperature, weight_decay

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=self.lr, weight_decay=self.weight_decay)

    @torch.no_grad()
    def step(self, oracle: Oracle, batch: Batch) -> Record:
        with torch.enable_grad():
            record = super().step(oracle, batch)
        scale = math.sqrt(2 * record["lr"] * self.temperature)
        for parameter in self.optimizer.param_groups[0]["params"]:
            parameter.add_(normal(parameter.shape, parameter, oracle.generator), alpha=scale)
        oracle.apply_mask()
        return record
