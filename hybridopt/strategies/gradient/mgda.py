"""Multiple-gradient descent (Desideri 2012), https://doi.org/10.1016/j.crma.2012.03.014.

On networks: Sener & Koltun 2018, "Multi-Task Learning as Multi-Objective Optimization",
https://arxiv.org/abs/1810.04650, who divide losses by their first values, and find the step by Frank-Wolfe.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.oracle import Oracle
from hybridopt.engine.randomness import normal
from hybridopt.toolbox import inheritance
from hybridopt.toolbox.front_descent import FrontDescent
from hybridopt.toolbox.fronts import Choice, Rule
from hybridopt.toolbox.min_norm import min_norm_weights
from hybridopt.toolbox.ranges import at_least
from hybridopt.toolbox.schedule import Schedule


class MGDA(FrontDescent):
    """Networks from different starts, each of which goes where all objectives go down, until there is no such place.

    Good for objectives that all have a gradient and may not be traded for one another on the way.

    A step goes against the shortest vector of the convex hull of the objectives' gradients: a small one raises none of
    them on the batch. Where a member ends on the front depends on where it starts, and nothing spreads them: the front
    is as wide as ``sigma`` makes the starts. Each objective is divided by its value at the start, unless ``normalise``
    is off; a gradient that is much shorter than the others decides the step. A step costs three forwards for each
    member, sample and objective that asks for passes. What is recommended are the members before their last step, where
    their readings are known.

    Args:
        members: networks.
        lr: the length of a step over that of the shortest vector, at the start.
        schedule: how it goes to ``final_lr`` times itself over the budget.
        final_lr: the last one as a share of the first.
        sigma: the standard deviation of the starts around the network as it stands, which is the first one.
        normalise: whether each objective is divided by its value at the start, so that their units do not count.
        choice: what is recommended of the front: knee, weights or lexicographic.
        weights: of the objectives by name, for "weights": ``+strategy.weights.loss=1``.
        tolerance: of "lexicographic": what counts as equally good, as a share of an objective's range.

    Raises:
        ConfigError: a number is out of range; when it begins, also where an objective has no gradient.
    """

    showcase: ClassVar[tuple[str, ...]] = ("objectives={loss: cross_entropy, norm: l1_norm}",)
    search_space: ClassVar[dict[str, str]] = {
        "lr": "tag(log, interval(0.01, 10.0))",
        "sigma": "tag(log, interval(0.005, 0.5))",
    }

    def __init__(
        self,
        members: int = 10,
        lr: float = 1.0,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
        sigma: float = 0.05,
        normalise: bool = True,
        choice: Rule = "knee",
        weights: dict[str, float] = {},
        tolerance: float = 0.0,
    ):
        super().__init__(members, lr, schedule, final_lr, normalise, Choice(choice, weights, tolerance))
        at_least("strategy", 0, sigma=sigma)
        self.sigma = sigma

    def starts(self, oracle: Oracle) -> Tensor:
        x0 = oracle.start
        members = x0 + self.sigma * normal((self.count, len(x0)), x0, oracle.generator)
        members[0] = x0
        return inheritance.members(oracle.inherited, members)

    def move(self, slopes: Tensor, rate: float) -> Tensor:
        shares = min_norm_weights(slopes @ slopes.mT).to(slopes)
        return torch.einsum("nk,nkd->nd", shares, slopes).mul_(-rate)
