"""An exponential moving average of what any strategy recommends.

Polyak & Juditsky 1992, https://doi.org/10.1137/0330046, average the iterates of stochastic approximation; decayed
averages of a network's weights: Tarvainen & Valpola 2017, https://arxiv.org/abs/1703.01780.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.toolbox.ranges import share
from hybridopt.toolbox.wrapper import Wrapper


class EMA(Wrapper):
    """Recommend an average over the last steps of another strategy, whose own course it does not change.

    Good for noisy descent with a constant step size: the average is ahead of the iterates.

    A phase of a hybrid has an average of its own. What is exactly zero, as pruned weights are, is zero in the average.
    Averages are of parameters; batch-norm statistics are those of the network that trains.

    Args:
        inner: any strategy.
        decay: what the average keeps of itself in each step; it has a memory of 1 / (1 - decay) steps. In the first
            steps it is the plain mean.

    Raises:
        ConfigError: the decay is not in [0, 1).
    """

    search_space: ClassVar[dict[str, str]] = {"decay": "choice(0.9, 0.97, 0.99, 0.997, 0.999)"}
    recommends_mean: ClassVar[bool] = True
    average: Tensor  # (d,)
    steps: Tensor  # a whole number, taken so far

    def __init__(self, inner: Annotated[Strategy, "adam"], decay: float = 0.99):
        share("strategy", "[0, 1)", decay=decay)
        super().__init__(inner)
        self.decay = decay

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.register_buffer("average", self.begin_inner(oracle, batch))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        record = self.inner.step(oracle, batch)
        self.steps += 1
        keep = min(self.decay, 1 - 1 / int(self.steps))
        current = self.current(oracle)
        self.average = torch.lerp(current, self.average, keep).where(current != 0, current)
        if self.inner.phase_over():
            self.steps.zero_()
        return record

    def recommend(self) -> Tensor:
        return self.average
