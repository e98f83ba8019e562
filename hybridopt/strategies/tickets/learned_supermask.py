"""Learned supermasks (Zhou, Lan, Liu & Yosinski 2019), https://arxiv.org/abs/1905.01067.

Each weight of an untrained network is used with a probability of its own, sigmoid(s); the scores s go down the
straight-through gradient of a mask that is drawn at each step.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.oracle import Oracle
from hybridopt.engine.randomness import uniform
from hybridopt.toolbox.masking import MaskTraining
from hybridopt.toolbox.ranges import at_least
from hybridopt.toolbox.schedule import Schedule


class LearnedSupermask(MaskTraining):
    """Learn with what probability each weight of a random network is used; the likelier half of each coin is kept.

    Good for the same as edge-popup without fixing how many weights are used.

    Args:
        init: "signed_constant" makes a layer's weights plus or minus one number; "model" keeps the model's own.
        lr: the learning rate of the scores at the start; large, since a score must move by units.
        momentum: of the descent on the scores.
        weight_decay: coefficient of the scores' L2 penalty.
        schedule: how the learning rate goes to ``final_lr`` times itself over the budget.
        final_lr: the last learning rate as a share of the first.

    Raises:
        ConfigError: a number is out of range, or the model has no weight to mask.
    """

    search_space: ClassVar[dict[str, str]] = {"lr": "tag(log, interval(1.0, 200.0))"}

    def __init__(
        self,
        init: Literal["signed_constant", "model"] = "signed_constant",
        lr: float = 100.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
    ):
        at_least("strategy", 0, weight_decay=weight_decay)
        super().__init__(init, lr, momentum, weight_decay, schedule, final_lr)

    def first_scores(self, weights: Tensor, oracle: Oracle) -> Tensor:
        return torch.zeros_like(weights)

    def draw(self, oracle: Oracle) -> Tensor:
        coins = uniform(self.scores.shape, self.scores, oracle.generator)
        return (coins < self.scores.sigmoid()).to(self.scores)

    def mask(self) -> Tensor:
        return (self.scores >= 0).to(self.scores)

    def slope(self, gradient: Tensor) -> Tensor:
        p = self.scores.sigmoid()
        return gradient * p * (1 - p)
