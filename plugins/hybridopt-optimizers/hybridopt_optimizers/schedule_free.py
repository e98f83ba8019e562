"""Schedule-Free AdamW (Defazio et al. 2024), https://arxiv.org/abs/2405.15682, by schedulefree.

Gradients are taken between a fast iterate and its average, and the average is the answer. The package's variant with a
closure is used: between steps the parameters are the average, so that validation needs no switch.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from schedulefree import AdamWScheduleFreeClosure
from torch import Tensor, nn

from hybridopt import Batch, Oracle, Record
from hybridopt.toolbox import ranges
from hybridopt.toolbox.gradient import GradientStrategy


class ScheduleFree(GradientStrategy):
    """AdamW with a constant step size, whose iterates are averaged: it need not know when training ends.

    Args:
        lr: the step size; larger than with a schedule.
        betas: of the interpolation, and of the second moment.
        weight_decay: coefficient of the decay.
        warmup: steps in which the step size grows to ``lr``.

    Raises:
        ConfigError: a number is out of range.
    """

    search_space: ClassVar[dict[str, str]] = {"lr": "tag(log, interval(3e-4, 0.1))"}

    def __init__(
        self,
        lr: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        warmup: int = 0,
    ):
        super().__init__()
        ranges.positive("strategy", lr=lr)
        ranges.at_least("strategy", 0, weight_decay=weight_decay, warmup=warmup)
        self.settings = {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay, "warmup_steps": warmup}

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return AdamWScheduleFreeClosure(parameters, **self.settings)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        losses: list[Tensor] = []

        def closure() -> Tensor:
            losses.append(self.slope(oracle, batch))
            return losses[-1]

        oracle.update(self.optimizer, closure)
        return {"loss": losses[0]}
