"""A turn ends when a search has contracted."""

from __future__ import annotations

import math
from typing import ClassVar, cast

from torch import Tensor

from hybridopt.core.trigger import Trigger, Turn
from hybridopt.toolbox.ranges import positive


class StalledSigma(Trigger):
    """End a turn when the width of a search has fallen below a share of what it was when the turn began.

    Good for adaptive searches, such as SNES and CEM, which contract where they cannot gain any more.

    Args:
        bound: the geometric mean of the widths, as a share of that at the beginning of the turn.

    Raises:
        ConfigError: the bound is not positive.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sigma"})
    first: Tensor  # the mean logarithm of the widths when the turn began

    def __init__(self, bound: float = 0.1):
        super().__init__()
        positive("trigger", bound=bound)
        self.bound = bound

    def begin(self, turn: Turn) -> None:
        self.register_buffer("first", mean_logarithm(turn))

    def over(self, turn: Turn) -> bool:
        return bool(mean_logarithm(turn) - self.first <= math.log(self.bound))


def mean_logarithm(turn: Turn) -> Tensor:
    """Of the phase's widths, a scalar."""
    return cast(Tensor, turn.phase.handover().sigma).double().clamp(min=1e-300).log().mean()
