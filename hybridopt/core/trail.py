"""How long the steps of a phase have been of late."""

from __future__ import annotations

from torch import Tensor

from hybridopt.engine.buffers import LateBuffers

KEPT = 0.9  # of the mean, at each step


class Trail(LateBuffers):
    """A decayed mean of the squared lengths of steps from one recommendation to the next."""

    last: Tensor | None  # (d,), the last recommendation
    square: Tensor | None  # a scalar, the mean; None before the first step

    def __init__(self) -> None:
        super().__init__()
        self.start(None)

    def start(self, z: Tensor | None) -> None:
        """Begin at a recommendation (d,); None where there is none, so that nothing is measured."""
        self.register_buffer("last", None if z is None else z.detach().clone())
        self.register_buffer("square", None)

    def add(self, z: Tensor | None) -> None:
        """The next recommendation (d,)."""
        if z is None or self.last is None:
            return
        squared = (z.detach() - self.last).double().square().sum()
        self.square = squared if self.square is None else KEPT * self.square + (1 - KEPT) * squared
        self.last = z.detach().clone()

    @property
    def length(self) -> float | None:
        """The root of the mean; None where nothing has moved."""
        return float(self.square.sqrt()) if self.square is not None and bool(self.square > 0) else None
