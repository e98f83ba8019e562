"""Lion (Chen et al. 2023), https://arxiv.org/abs/2302.06675, by lion-pytorch: all coordinates move equally far."""

from __future__ import annotations

from typing import ClassVar

import lion_pytorch
import torch
from torch import nn

from hybridopt.toolbox.gradient import GradientDescent
from hybridopt.toolbox.ranges import at_least
from hybridopt.toolbox.schedule import Schedule


class Lion(GradientDescent):
    """Signs of a momentum: an update rule that was found by evolution.

    Args:
        lr: the learning rate at the start; three to ten times below Adam's.
        betas: of the step's mean, and of the momentum's.
        weight_decay: decoupled, in units of the learning rate.
        schedule: how the learning rate goes to ``final_lr`` times itself over the budget.
        final_lr: the last learning rate as a share of the first.

    Raises:
        ConfigError: the learning rate is not positive.
    """

    search_space: ClassVar[dict[str, str]] = {"lr": "tag(log, interval(1e-5, 0.01))"}

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.01,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
    ):
        super().__init__(lr, schedule, final_lr)
        at_least("strategy", 0, weight_decay=weight_decay)
        self.betas, self.weight_decay = tuple(betas), weight_decay

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return lion_pytorch.Lion(parameters, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)
