"""Edge-popup (Ramanujan, Wortsman, Kembhavi, Farhadi & Rastegari 2020), https://arxiv.org/abs/1911.13299.

A random network that is never trained; each layer uses the weights whose scores are largest in absolute value, and the
scores go down the straight-through gradient. The absolute value has a derivative of its own, sign(s): taken into the
straight-through part, the scores of the wrong sign run away and nothing is learned.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.oracle import Oracle
from hybridopt.engine.randomness import uniform
from hybridopt.toolbox.masking import MaskTraining
from hybridopt.toolbox.ranges import at_least, share
from hybridopt.toolbox.schedule import Schedule


class EdgePopup(MaskTraining):
    """Learn which weights of a random network to use, a fixed share of each layer.

    Good for hardware that cannot change weights, but can leave them out.

    Args:
        keep: the share of each layer's weights that is used.
        init: "signed_constant" makes a layer's weights plus or minus one number; "model" keeps the model's own.
        lr: the learning rate of the scores at the start.
        momentum: of the descent on the scores.
        weight_decay: coefficient of the scores' L2 penalty.
        schedule: how the learning rate goes to ``final_lr`` times itself over the budget.
        final_lr: the last learning rate as a share of the first.

    Raises:
        ConfigError: a number is out of range, or the model has no weight to mask.
    """

    search_space: ClassVar[dict[str, str]] = {"lr": "tag(log, interval(0.01, 1.0))", "keep": "interval(0.1, 0.9)"}

    def __init__(
        self,
        keep: float = 0.5,
        init: Literal["signed_constant", "model"] = "signed_constant",
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
    ):
        super().__init__(init, lr, momentum, weight_decay, schedule, final_lr)
        share("strategy", "(0, 1]", keep=keep)
        at_least("strategy", 0, weight_decay=weight_decay)
        self.keep = keep

    def first_scores(self, weights: Tensor, oracle: Oracle) -> Tensor:
        """Uniform in +-1/sqrt(inputs), which is the authors' Kaiming start with a = sqrt 5."""
        coins = uniform(weights.shape, weights, oracle.generator)
        bounds = [
            weights.new_full((size,), 1 / math.sqrt(shape[1:].numel()))
            for size, shape in zip(self.layout.sizes, self.layout.shapes.values(), strict=True)
        ]
        return (2 * coins - 1) * torch.cat(bounds)

    def draw(self, oracle: Oracle) -> Tensor:
        return self.mask()

    def mask(self) -> Tensor:
        return torch.cat([self._top(scores.abs()) for scores in self.scores.split(self.layout.sizes)])

    def slope(self, gradient: Tensor) -> Tensor:
        return gradient * self.scores.sign()

    def _top(self, scores: Tensor) -> Tensor:
        keep = max(1, round(self.keep * len(scores)))
        return torch.zeros_like(scores).index_fill_(0, scores.topk(keep).indices, 1.0)
