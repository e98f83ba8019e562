"""A turn ends when the steps of a search are lost in their own noise.

The ratio of a mean step to its standard error, from batch means, whose error is right also where steps are correlated
by momentum: Conway 1963, https://doi.org/10.1287/mnsc.10.1.47; for stopping by them Flegal & Jones 2010,
https://doi.org/10.1214/09-AOS735.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.core.strategy import Record
from hybridopt.core.trigger import Trigger, Turn
from hybridopt.toolbox.ranges import at_least, positive


class SNR(Trigger):
    """End a turn when what is recommended only wanders: its mean step is no longer than chance makes it.

    Good for evolution strategies with a fixed width on minibatches, which never come to rest by themselves.

    Each so many steps the way from where they began is held against its standard error, which the ways of ten parts of
    them tell: about 1 for a walk without a direction, and about 3.3 for one whose parts are a
    direction and noise of the same length.

    Args:
        window: steps from one look to the next.
        ratio: the turn is over when the ratio is not above this.

    Raises:
        ConfigError: there are fewer steps than parts, or the ratio is not positive.
    """

    PARTS = 10
    taken: Tensor  # a whole number, steps since the last look
    origin: Tensor  # (d,), where the window began
    last: Tensor  # (d,), where its last whole part ended
    squares: Tensor  # a scalar, the sum of the squared lengths of its parts
    found: Tensor  # a scalar, the ratio at the last look; inf before

    def __init__(self, window: int = 100, ratio: float = 1.5):
        super().__init__()
        at_least("trigger", self.PARTS, window=window)
        positive("trigger", ratio=ratio)
        self.window, self.ratio = window, ratio

    def begin(self, turn: Turn) -> None:
        self.register_buffer("found", torch.tensor(torch.inf, dtype=torch.float64))
        self._open(place(turn))

    def observe(self, turn: Turn, record: Record) -> None:
        self.taken += 1
        part = self.window // self.PARTS
        if int(self.taken) % part:
            return
        here = place(turn)
        self.squares = self.squares + (here - self.last).double().square().sum()
        self.last = here
        if int(self.taken) == part * self.PARTS:
            self.found = self._ratio(here)
            self._open(here)

    def over(self, turn: Turn) -> bool:
        return bool(self.found <= self.ratio)

    def _open(self, here: Tensor) -> None:
        """A window begins."""
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))
        self.register_buffer("origin", here)
        self.register_buffer("last", here)
        self.register_buffer("squares", torch.zeros((), dtype=torch.float64, device=here.device))

    def _ratio(self, here: Tensor) -> Tensor:
        """Length of the mean of n parts over the root of their summed variances / n; 0 where nothing has moved."""
        n = self.PARTS
        way = (here - self.origin).double().square().sum()
        variance = (self.squares - way / n) / (n - 1)
        error = variance.clamp(min=0) / n
        return torch.where(way == 0, 0.0, (way / n**2 / error.clamp(min=1e-300)).sqrt())


def place(turn: Turn) -> Tensor:
    """What the phase recommends (d,), a copy; in direct coordinates the model as it stands where it says so."""
    z = turn.phase.recommend()
    return turn.oracle.point if z is None else z.detach().clone()
