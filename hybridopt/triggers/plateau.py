"""A turn ends when the training loss falls no more."""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.core.strategy import Record
from hybridopt.core.trigger import Trigger, Turn
from hybridopt.toolbox.ranges import at_least, share


class Plateau(Trigger):
    """End a turn when the smoothed training loss has not improved for a while.

    Good for leaving a search, or a descent, once it has done what it can.

    The loss is that of the phase's own steps; a step without a finite loss counts as one without improvement.

    Args:
        window: steps without an improvement that end the turn.
        improvement: by which share of its size the loss must fall below the best to count as one.
        smoothing: what the smoothed loss keeps of itself in each step; 0 takes each loss as it is.

    Raises:
        ConfigError: a number is out of range.
    """

    smooth: Tensor  # the smoothed loss, NaN before the first
    best: Tensor  # the lowest of it that counted as an improvement, inf before
    idle: Tensor  # a whole number, steps since

    def __init__(self, window: int = 50, improvement: float = 0.01, smoothing: float = 0.9):
        super().__init__()
        at_least("trigger", 1, window=window)
        share("trigger", "[0, 1)", improvement=improvement, smoothing=smoothing)
        self.window, self.improvement, self.smoothing = window, improvement, smoothing

    def begin(self, turn: Turn) -> None:
        self.register_buffer("smooth", torch.tensor(torch.nan, dtype=torch.float64))
        self.register_buffer("best", torch.tensor(torch.inf, dtype=torch.float64))
        self.register_buffer("idle", torch.zeros((), dtype=torch.int64))

    def observe(self, turn: Turn, record: Record) -> None:
        loss = torch.as_tensor(record.get("loss", torch.nan), dtype=torch.float64, device=self.smooth.device)
        if loss.isfinite():
            known = not self.smooth.isnan()
            self.smooth = self.smoothing * self.smooth + (1 - self.smoothing) * loss if known else loss
        self.idle += 1
        bar = self.best - self.improvement * self.best.abs() if self.best.isfinite() else self.best
        if self.smooth < bar:
            self.best = self.smooth
            self.idle.zero_()

    def over(self, turn: Turn) -> bool:
        return int(self.idle) >= self.window
