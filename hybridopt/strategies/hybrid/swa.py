"""Stochastic weight averaging (Izmailov, Podoprikhin, Garipov, Vetrov & Wilson 2018), https://arxiv.org/abs/1803.05407.

The paper's SGD goes on at a constant or cyclic learning rate from three quarters of its budget on, so that it wanders
over a wide region of low loss, and the plain mean of its weights lies in the middle of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.toolbox.ranges import at_least, share
from hybridopt.toolbox.wrapper import Wrapper


class SWA(Wrapper):
    """Recommend the plain mean of what another strategy recommends in the last part of the budget.

    Good for descent that ends at a learning rate too large to come to rest: strategy.inner.schedule=constant.

    The learning rate is the inner strategy's own: one that decays to nothing leaves little to average, so choose
    ``strategy.inner.schedule=constant`` with ``strategy.inner.lr``, or a ``strategy.inner.final_lr`` that is not small.
    Until the mean begins, the inner strategy's own recommendation is recommended. A phase of a hybrid has a mean of its
    own. What is exactly zero, as pruned weights are, is zero in the mean. Means are of parameters; batch-norm
    statistics are those of the network that trains, where the paper computes them again in a pass over the data.

    Args:
        inner: any strategy.
        start: the share of the budget after which the mean begins.
        every: steps from one recommendation that is averaged to the next; the paper's is an epoch.

    Raises:
        ConfigError: the share is not in [0, 1), or the number is below 1.
    """

    search_space: ClassVar[dict[str, str]] = {"start": "interval(0.5, 0.95)"}
    recommends_mean: ClassVar[bool] = True
    mean: Tensor  # (d,); empty before it begins
    steps: Tensor  # a whole number, since this mean began

    def __init__(self, inner: Annotated[Strategy, "sgd"], start: float = 0.75, every: int = 1):
        share("strategy", "[0, 1)", start=start)
        at_least("strategy", 1, every=every)
        super().__init__(inner)
        self.start, self.every = start, every

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {"without the mean": ("strategy=@inner",)}

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.register_buffer("mean", self.begin_inner(oracle, batch)[:0].clone())
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        record = self.inner.step(oracle, batch)
        if oracle.progress >= self.start:
            taken, left = divmod(int(self.steps), self.every)
            if left == 0:
                self._take(self.current(oracle), taken)
            self.steps += 1
        if self.inner.phase_over():
            self.steps.zero_()
        return record

    def recommend(self) -> Tensor | None:
        return self.mean if len(self.mean) else self.inner.recommend()

    def _take(self, current: Tensor, taken: int) -> None:
        """The mean of one more, of which so many were taken: the paper's w_SWA."""
        former = self.mean if taken else current
        self.mean = torch.lerp(former, current, 1 / (taken + 1)).where(current != 0, current)
