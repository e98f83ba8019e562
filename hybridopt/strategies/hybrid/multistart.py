"""Many starts, halved again and again (successive halving, Jamieson & Talwalkar 2016).

Non-stochastic Best Arm Identification and Hyperparameter Optimization, https://arxiv.org/abs/1502.07943. Their arms are
hyperparameters; here they are first weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.toolbox.descent import AdamDescent
from hybridopt.toolbox.fitness import averaged
from hybridopt.toolbox.ranges import at_least, positive, share
from hybridopt.toolbox.schedule import Decay, Schedule
from hybridopt.toolbox.starts import population_of_starts


class Multistart(Strategy):
    """Train many starts by Adam, and leave out the worse half at each rung until one is left.

    Good for networks whose first weights decide how far descent comes, and for what a search has found in many places.

    One start is the network as it stands; then come the members that the phase before hands over; the others are first
    weights drawn again (:func:`hybridopt.toolbox.starts.redrawn`). The budget has ceil(log2 n) + 1 rungs of equal cost:
    n starts, then half of them, and so on; the paper ends with the choice between the last two, here the last rung
    trains the one that is left. Members are compared by their training losses before each step, all on the same
    batches, averaged over about ``1 / averaging`` of them; the best by that is recommended. Gradients are those of
    populations: networks in evaluation mode, unless ``oracle.dropout`` or ``oracle.batch_statistics`` say otherwise.

    Args:
        popsize: starts.
        lr: the learning rate of Adam at the start.
        schedule: how it goes to ``final_lr`` times itself over the steps of the start that survives.
        final_lr: the last learning rate as a share of the first.
        weight_decay: coefficient of the L2 penalty whose slope is added to that of the loss.
        averaging: what a loss on a new batch counts against those before.
        halve: whether the worse half is left out at each rung; else all are trained to the end.

    Raises:
        ConfigError: there is one start only, or a number is out of range.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"gradient"})
    hands_over: ClassVar[frozenset[str]] = frozenset({"population"})
    takes: ClassVar[frozenset[str]] = frozenset({"population"})
    search_space: ClassVar[dict[str, str]] = {
        "lr": "tag(log, interval(1e-4, 0.1))",
        "popsize": "choice(4, 8, 16, 32)",
    }
    members: Tensor  # (n, d), fewer at each rung
    averages: Tensor  # (n,), of the training losses; inf at first

    def __init__(
        self,
        popsize: int = 8,
        lr: float = 3e-3,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
        weight_decay: float = 1e-3,
        averaging: float = 0.05,
        halve: bool = True,
    ):
        super().__init__()
        at_least("strategy", 2, popsize=popsize)
        positive("strategy", lr=lr)
        at_least("strategy", 0, weight_decay=weight_decay)
        share("strategy", "(0, 1]", averaging=averaging)
        self.popsize, self.lr, self.averaging, self.halve = popsize, lr, averaging, halve
        self.weight_decay, self.schedule = weight_decay, Decay(schedule, final_lr)
        self.adam = AdamDescent()
        rungs = (popsize - 1).bit_length() + 1 if halve else 1
        self.sizes = [-(-popsize // 2**rung) for rung in range(rungs)]  # members of each rung

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        shared = [
            f"strategy.{key}={settings[key]}"
            for key in ("lr", "schedule", "final_lr", "weight_decay")
            if key in settings
        ]
        return {
            "without the halving": ("strategy.halve=false",),
            "without the other starts": ("strategy=adam", *shared),
        }

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.register_buffer("members", population_of_starts(oracle, self.popsize))
        self.register_buffer("averages", self.members.new_full((self.popsize,), torch.inf))
        self.adam.start(self.members)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        self._keep(self.sizes[self._rung(oracle.progress)])
        rate = self.lr * self.schedule(self.share_of_steps(oracle.progress))
        losses, slopes = oracle.gradients(self.members, batch)
        self.averages = averaged(self.averages, losses, self.averaging)
        self.members = self.members + self.adam.step(slopes.add(self.members, alpha=self.weight_decay), rate)
        return {"loss": losses.min(), "lr": rate, "members": float(len(losses))}

    def recommend(self) -> Tensor:
        return self.members[self.averages.argsort(stable=True)[0]]

    def handover(self) -> Handover:
        return Handover(population=self.members.clone())

    def share_of_steps(self, progress: float) -> float:
        """The share of the steps of the start that survives, when a share of the budget is spent: the first are dear.

        Args:
            progress: the share of the budget, from 0 to 1.
        """
        rung, steps = self._rung(progress), [1 / size for size in self.sizes]  # at equal cost
        return (sum(steps[:rung]) + (progress * len(steps) - rung) * steps[rung]) / sum(steps)

    def _rung(self, progress: float) -> int:
        return min(int(progress * len(self.sizes)), len(self.sizes) - 1)

    def _keep(self, count: int) -> None:
        """Leave out all but so many of the best, in the order in which they are."""
        if count < len(self.members):
            kept = self.averages.argsort(stable=True)[:count].sort().values
            self.members, self.averages = self.members[kept], self.averages[kept]
            self.adam.select(kept)
