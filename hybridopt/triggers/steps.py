"""A turn ends after so many steps."""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.core.strategy import Record
from hybridopt.core.trigger import Trigger, Turn
from hybridopt.toolbox.ranges import at_least


class Steps(Trigger):
    """End a turn after so many steps of its phase.

    Good for phases that take turns often, such as ten steps of descent for one generation of a search.

    Args:
        steps: of the phase, in one turn.

    Raises:
        ConfigError: the number is below 1.
    """

    taken: Tensor  # a whole number, in this turn

    def __init__(self, steps: int = 100):
        super().__init__()
        at_least("trigger", 1, steps=steps)
        self.steps = steps

    def begin(self, turn: Turn) -> None:
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))

    def observe(self, turn: Turn, record: Record) -> None:
        self.taken += 1

    def over(self, turn: Turn) -> bool:
        return int(self.taken) >= self.steps
