"""The best recommendation so far, of any strategy: an incumbent that has to win again and again."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.core.unchanged import Unchanged
from hybridopt.toolbox.ranges import at_least
from hybridopt.toolbox.wrapper import Wrapper


class BestSoFar(Wrapper):
    """Recommend the best of what another strategy has recommended.

    Good for strategies that wander, such as annealing at a high temperature or descent with a large step size.

    After every few steps what the inner strategy recommends is compared with the incumbent on the batch of that step:
    both are evaluated on it, and charged, so that the luckiest batch decides nothing. Where each batch is the same one,
    the incumbent's loss is known, unless others have trained in between, or the network normalises by statistics of its
    batches. An incumbent is pruned as the network is.

    Args:
        inner: any strategy.
        every: steps from one comparison to the next.

    Raises:
        ConfigError: the number is below 1.
    """

    best: Tensor  # (d,)
    loss: Tensor  # a scalar, of the best when it was last evaluated; inf where that is not known
    steps: Tensor  # a whole number, taken so far

    def __init__(self, inner: Annotated[Strategy, "simulated_annealing"], every: int = 10):
        at_least("strategy", 1, every=every)
        super().__init__(inner)
        self.every = every
        self.unchanged = Unchanged()

    @property
    def requires(self) -> frozenset[str]:
        """Losses, and what the inner strategy requires."""
        return frozenset({"losses"}) | super().requires

    def attach(self, oracle: Oracle) -> None:
        super().attach(oracle)
        self._learns_statistics = learns_statistics(oracle.model)

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.register_buffer("best", self.begin_inner(oracle, batch))
        self.register_buffer("loss", self.best.new_tensor(torch.inf, dtype=torch.float32))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.unchanged.forget()

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        if self._learns_statistics or not self.unchanged.since(oracle):
            self.loss = torch.full_like(self.loss, torch.inf)
        record = self.inner.step(oracle, batch)
        self.steps += 1
        if int(self.steps) % self.every == 0 or oracle.exhausted or self.inner.finished():
            self._compare(oracle, batch)
        self.unchanged.note(oracle)
        return record

    def recommend(self) -> Tensor:
        return self.best

    def _compare(self, oracle: Oracle, batch: Batch) -> None:
        challenger = self.current(oracle)
        if "mask" in self.inner.hands_over:
            pruned = self.best.where(challenger != 0, challenger)
            self.loss = self.loss.where((pruned == self.best).all(), torch.inf)
            self.best = pruned
        if self.loss.isfinite():
            mine, other = self.loss, oracle.losses(challenger[None], batch)[0]
        else:
            mine, other = oracle.losses(torch.stack([self.best, challenger]), batch)
        self.best = challenger.clone() if other < mine else self.best
        self.loss = torch.minimum(mine, other)


def learns_statistics(model: nn.Module) -> bool:
    """Whether a step in training mode changes what the same parameters answer, as batch normalisation does."""
    return any(getattr(module, "track_running_stats", False) for module in model.modules())
