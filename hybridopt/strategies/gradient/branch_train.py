"""Branches of one network, each trained on its own part of the data (Li, Gururangan, Dettmers et al. 2022).

Branch-Train-Merge, https://arxiv.org/abs/2208.03306: a network that has seen all data for a while is copied, the copies
never see each other's data again, and are merged in the end. Means of such networks, again and again, are federated
averaging (McMahan et al. 2017, https://arxiv.org/abs/1602.05629).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.engine import trees
from hybridopt.engine.trees import Inputs
from hybridopt.errors import ConfigError
from hybridopt.toolbox.descent import AdamDescent
from hybridopt.toolbox.ranges import at_least, one_of, positive, share
from hybridopt.toolbox.schedule import Decay, Schedule

GOLDEN = (5**0.5 - 1) / 2  # whose multiples fill the unit interval evenly

By = Literal["sample", "label"]


class BranchTrain(Strategy):
    """Train a network by Adam on all data, then copies of it on a part of the data each.

    Good for data that may not be brought together, and for ``strategy=merge``, which makes one network of the copies.

    What is recommended is the mean of the copies' weights. Each step costs one gradient of each sample of the batch,
    as a step of Adam does; a copy of which the batch has no sample stays where it is. Gradients are those of
    populations: networks in evaluation mode, unless ``oracle.dropout`` or ``oracle.batch_statistics`` say otherwise.

    Args:
        branches: M, how many copies there are.
        together: the share of the budget in which there is one network, which sees all data.
        by: what decides whose a sample is: "sample" its inputs, evenly and by chance; "label" its class modulo M, so
            that copies have different classes.
        lr: the learning rate of Adam at the start.
        schedule: how it goes to ``final_lr`` times itself over the budget.
        final_lr: the last learning rate as a share of the first.

    Raises:
        ConfigError: there is one branch only, a number is out of range, or the targets are no classes.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"gradient"})
    hands_over: ClassVar[frozenset[str]] = frozenset({"population"})
    search_space: ClassVar[dict[str, str]] = {"lr": "tag(log, interval(1e-4, 0.1))"}
    members: Tensor  # (M, d), of which all are the same while they are trained together

    def __init__(
        self,
        branches: int = 4,
        together: float = 0.2,
        by: By = "sample",
        lr: float = 3e-3,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
    ):
        super().__init__()
        at_least("strategy", 2, branches=branches)
        share("strategy", "[0, 1)", together=together)
        one_of("strategy", ("sample", "label"), by=by)
        positive("strategy", lr=lr)
        self.branches, self.together, self.by, self.lr = branches, together, by, lr
        self.schedule = Decay(schedule, final_lr)
        self.adam = AdamDescent()

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        if self.by == "label" and batch[1].is_floating_point():
            raise ConfigError("strategy.by=label goes by classes, and the targets are values: take strategy.by=sample.")
        self.register_buffer("members", oracle.start.repeat(self.branches, 1))
        self.adam.start(self.members)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        rate = self.lr * self.schedule(oracle.progress)
        if oracle.progress < self.together:
            losses, slopes = oracle.gradients(self.members[:1], batch)
            slopes = slopes.expand_as(self.members)
        else:
            losses, slopes = self._apart(oracle, batch)
        self.members = self.members + self.adam.step(slopes, rate)
        return {"loss": losses.mean(), "lr": rate}

    def recommend(self) -> Tensor:
        return self.members.mean(dim=0)

    def handover(self) -> Handover:
        return Handover(population=self.members.clone())

    def _apart(self, oracle: Oracle, batch: Batch) -> tuple[Tensor, Tensor]:
        """Losses of the copies that the batch has samples for, and slopes (M, d), zero of the others."""
        inputs, targets = batch
        owners = targets % self.branches if self.by == "label" else part_of(inputs, self.branches)
        losses, slopes = [], torch.zeros_like(self.members)
        for branch in range(self.branches):
            mine = owners == branch
            if mine.any():
                share = (trees.rows(inputs, mine), targets[mine])
                loss, slope = oracle.gradients(self.members[branch : branch + 1], share)
                losses.append(loss)
                slopes[branch] = slope[0]
        return torch.cat(losses), slopes


def part_of(inputs: Inputs, parts: int) -> Tensor:
    """To which of so many parts each sample belongs: always the same for the same inputs, and about as many to each.

    Args:
        inputs: (B, ...), or a tree of such tensors.
        parts: how many.

    Returns:
        (B,), whole numbers from 0.
    """
    values = trees.flat(inputs)
    weights = 1 + (torch.arange(1, values.shape[1] + 1, device=values.device) * GOLDEN).frac()
    projected = 1e3 * (values * weights).sum(1)  # whose fractions differ also where inputs hardly do
    return (projected.frac().abs() * parts).long().clamp(max=parts - 1)
