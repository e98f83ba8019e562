"""Prodigy (Mishchenko & Defazio 2024), https://arxiv.org/abs/2306.06101, by prodigyopt: no learning rate to choose."""

from __future__ import annotations

from typing import ClassVar

import prodigyopt
import torch
from torch import nn

from hybridopt.toolbox.gradient import GradientDescent
from hybridopt.toolbox.ranges import at_least, positive
from hybridopt.toolbox.schedule import Schedule


class Prodigy(GradientDescent):
    """Adam that estimates how far away the solution is, and takes its step size from that.

    Args:
        lr: what the estimated step size is multiplied with; 1, as a rule.
        betas: of Adam's moments.
        weight_decay: decoupled, in units of the learning rate.
        d_coef: what the estimate is multiplied with; the authors' one knob, between 0.5 and 2.
        schedule: how ``lr`` goes to ``final_lr`` times itself over the budget.
        final_lr: the last ``lr`` as a share of the first.

    Raises:
        ConfigError: ``lr`` is not positive.
    """

    search_space: ClassVar[dict[str, str]] = {"d_coef": "tag(log, interval(0.5, 2.0))"}

    def __init__(
        self,
        lr: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        d_coef: float = 1.0,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
    ):
        super().__init__(lr, schedule, final_lr)
        at_least("strategy", 0, weight_decay=weight_decay)
        positive("strategy", d_coef=d_coef)
        self.betas, self.weight_decay, self.d_coef = tuple(betas), weight_decay, d_coef

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        settings = {"betas": self.betas, "weight_decay": self.weight_decay, "d_coef": self.d_coef}
        return prodigyopt.Prodigy(parameters, lr=self.lr, **settings)
