"""Weighted sums of objectives: one network for each of many trade-offs, each by gradient descent.

Geoffrion 1968, https://doi.org/10.1016/0022-247X(68)90201-1; what such sums cannot find of a front that is not convex:
Das & Dennis 1997, https://doi.org/10.1007/BF01197559.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.oracle import Oracle
from hybridopt.toolbox.descent import AdamDescent
from hybridopt.toolbox.front_descent import FrontDescent
from hybridopt.toolbox.fronts import Choice, Rule, spread
from hybridopt.toolbox.schedule import Schedule
from hybridopt.toolbox.starts import population_of_starts


class WeightedSum(FrontDescent):
    """Copies of the network, each of which lowers its own weighted sum of the objectives by Adam.

    Good for objectives that all have a gradient, as what a search for fronts is to be compared with.

    The weights are spread evenly over all trade-offs; of two objectives from the first alone to the second alone. No
    weights lead into a part of the front that is not convex. Each objective is divided by its value at the start,
    unless ``normalise`` is off. A step costs three forwards for each member, sample and objective that asks for
    passes. What is recommended are the members before their last step, where their readings are known.

    Args:
        members: copies of the network.
        lr: the learning rate of Adam at the start.
        schedule: how it goes to ``final_lr`` times itself over the budget.
        final_lr: the last learning rate as a share of the first.
        normalise: whether each objective is divided by its value at the start, so that their units do not count.
        choice: what is recommended of the front: knee, weights or lexicographic.
        weights: of the objectives by name, for "weights": ``+strategy.weights.loss=1``.
        tolerance: of "lexicographic": what counts as equally good, as a share of an objective's range.

    Raises:
        ConfigError: a number is out of range; when it begins, also where an objective has no gradient.
    """

    showcase: ClassVar[tuple[str, ...]] = ("objectives={loss: cross_entropy, norm: l1_norm}",)
    search_space: ClassVar[dict[str, str]] = {"lr": "tag(log, interval(1e-4, 0.1))"}
    directions: Tensor  # (members, k), the weights of each

    def __init__(
        self,
        members: int = 10,
        lr: float = 3e-3,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
        normalise: bool = True,
        choice: Rule = "knee",
        weights: dict[str, float] = {},
        tolerance: float = 0.0,
    ):
        super().__init__(members, lr, schedule, final_lr, normalise, Choice(choice, weights, tolerance))
        self.adam = AdamDescent()

    def starts(self, oracle: Oracle) -> Tensor:
        members = population_of_starts(oracle, self.count, drawn=False)
        self.register_buffer("directions", spread(self.count, len(self.names)).to(members))
        self.adam.start(members)
        return members

    def move(self, slopes: Tensor, rate: float) -> Tensor:
        return self.adam.step(torch.einsum("nk,nkd->nd", self.directions, slopes), rate)
