"""The best recommendation so far, of any strategy: an incumbent that has to win again and again."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.toolbox.ranges import at_least
from hybridopt.toolbox.wrapper import Wrapper


class BestSoFar(Wrapper):
    """Recommend the best of what another strategy has recommended.

    Good for strategies that wander, such as annealing at a high temperature or descent with a large step size.

    After every few steps what the inner strategy recommends is compared with the incumbent on the batch of that step:
    both are evaluated on it, and charged, so that the luckiest batch decides nothing.

    Args:
        inner: any strategy.
        every: steps from one comparison to the next.

    Raises:
        ConfigError: the number is below 1.
    """

    best: Tensor  # (d,)
    steps: Tensor  # a whole number, taken so far

    def __init__(self, inner: Annotated[Strategy, "simulated_annealing"], every: int = 10):
        at_least("strategy", 1, every=every)
        super().__init__(inner)
        self.every = every

    @property
    def requires(self) -> frozenset[str]:
        """Losses, and what the inner strategy requires."""
        return frozenset({"losses"}) | super().requires

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.register_buffer("best", self.begin_inner(oracle, batch))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        record = self.inner.step(oracle, batch)
        self.steps += 1
        if int(self.steps) % self.every == 0 or oracle.exhausted or self.inner.finished():
            self._compare(oracle, batch)
        return record

    def recommend(self) -> Tensor:
        return self.best

    def _compare(self, oracle: Oracle, batch: Batch) -> None:
        challenger = self.current(oracle)
        losses = oracle.losses(torch.stack([self.best, challenger]), batch)
        if losses[1] < losses[0]:
            self.best = challenger.clone()
