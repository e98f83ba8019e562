"""Networks that go down together, by the gradients of all objectives: what is left of them is a front."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch, WeightObjective
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.errors import ConfigError
from hybridopt.toolbox.front_search import PROBLEM
from hybridopt.toolbox.fronts import Choice, best
from hybridopt.toolbox.ranges import at_least, positive
from hybridopt.toolbox.schedule import Decay, Schedule


class FrontDescent(Strategy):
    """Members that each take a step by the gradients of all objectives; an author writes ``starts`` and ``move``.

    A step costs three forwards for each member, sample and objective that asks for passes. The front is of the members
    as they stood before their last step: there their readings, all of the same batch, came with the gradients, and cost
    nothing besides. Gradients are those of populations: networks in evaluation mode, unless ``oracle.dropout`` or
    ``oracle.batch_statistics`` say otherwise.

    Args:
        members: n, how many.
        lr: the learning rate at the start.
        schedule: how it goes to ``final_lr`` times itself over the budget.
        final_lr: the last learning rate as a share of the first.
        normalise: whether each objective is divided by its value at the start, so that their units do not count.
        choice: what is recommended of the front.

    Raises:
        ConfigError: a number is out of range.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"gradient", "objectives"})
    hands_over: ClassVar[frozenset[str]] = frozenset({"population"})
    takes: ClassVar[frozenset[str]] = frozenset({"population"})
    conformance: ClassVar[dict[str, Any]] = {
        "problem": {"objective": PROBLEM},
        "settings": [{"choice": "weights", "weights": {"loss": 1.0}}],
    }
    members: Tensor  # (n, d)
    judged: Tensor  # (n, d), the members before their last step
    values: Tensor  # (n, k), the readings of these; +inf at first
    scales: Tensor | None  # (k,), what each objective is divided by

    def __init__(self, members: int, lr: float, schedule: Schedule, final_lr: float, normalise: bool, choice: Choice):
        super().__init__()
        at_least("strategy", 1, members=members)
        positive("strategy", lr=lr)
        self.count, self.lr, self.normalise, self.choice = members, lr, normalise, choice
        self.schedule = Decay(schedule, final_lr)
        self.names: tuple[str, ...] = ()
        self.register_buffer("scales", None)

    @abstractmethod
    def starts(self, oracle: Oracle) -> Tensor:
        """The first members (n, d), of which the first is the start vector; further state is made here, too."""

    @abstractmethod
    def move(self, slopes: Tensor, rate: float) -> Tensor:
        """What to add to the members.

        Args:
            slopes: (n, k, d), the gradient of each objective, over its scale.
            rate: the learning rate.

        Returns:
            (n, d).
        """

    @final
    def attach(self, oracle: Oracle) -> None:
        parts = oracle.objective.parts
        for name, part in parts.items():
            if not part.differentiable:
                other = "l1_norm" if isinstance(part, WeightObjective) else "cross_entropy, hinge or mse"
                raise ConfigError(
                    f"{type(self).__name__} goes by the gradient of each objective, and objective.parts.{name}, "
                    f"{type(part).__name__}, has none: type {other} in its place, as in objectives='{{loss: "
                    f"cross_entropy, norm: l1_norm}}', or choose a strategy that works on losses."
                )
        self.names = tuple(parts)
        self.choice.check(self.names)
        self._views = [oracle.with_objective(part) for part in parts.values()]

    @final
    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.register_buffer("members", self.starts(oracle))
        self.register_buffer("judged", self.members.clone())
        exact = torch.promote_types(self.members.dtype, torch.float32)
        values = self.members.new_full((len(self.members), len(self.names)), torch.inf, dtype=exact)
        self.register_buffer("values", values)
        self.register_buffer("scales", None)

    @final
    def step(self, oracle: Oracle, batch: Batch) -> Record:
        rate = self.lr * self.schedule(oracle.progress)
        answers = [view.gradients(self.members, batch) for view in self._views]
        self.judged, self.values = self.members, torch.stack([losses for losses, _ in answers], dim=1)
        if self.scales is None:
            self.scales = self._scales(self.values[0])
        slopes = torch.stack([slopes for _, slopes in answers], dim=1).to(self.members)
        slopes = slopes / self.scales.to(slopes)[:, None]
        self.members = self.members + self.move(slopes, rate)
        return {"loss": self.values[:, 0].min(), "lr": rate, "front/members": float(len(best(self.values)))}

    def front(self) -> Tensor:
        """The best trade-offs of the members (m, d), none of them dominated by another one."""
        return self.judged[best(self.values)]

    def front_readings(self) -> Tensor:
        """How they fare in training (m, k)."""
        return self.values[best(self.values)]

    @final
    def recommend(self) -> Tensor:
        return self.front()[self.choice.of(self.front_readings(), self.names)]

    def handover(self) -> Handover:
        return Handover(population=self.members.clone())

    def _scales(self, first: Tensor) -> Tensor:
        usable = self.normalise & torch.isfinite(first) & (first != 0)
        return torch.where(usable, first.abs(), 1.0)
