"""Whether what was computed in the last step still holds."""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.core.oracle import Oracle
from hybridopt.engine.buffers import LateBuffers


class Unchanged(LateBuffers):
    """A note of how much the run had computed, by which a strategy tells whether a loss that it keeps is still true.

    It is, where each batch is the one before and nobody else has computed anything since: whoever moves other
    parameters, or the coordinates, of a shared network asks the oracle for something first.
    """

    forwards: Tensor  # a whole number, of the whole run when the note was made; -1 where there is none

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """There is no note."""
        self.register_buffer("forwards", torch.tensor(-1))

    def note(self, oracle: Oracle) -> None:
        """Make a note, at the end of a step; where batches differ there is none."""
        if oracle.repeats:
            self.forwards = torch.tensor(oracle.ledger.root.forwards)

    def since(self, oracle: Oracle) -> bool:
        """Whether all is as it was at the last note, at the beginning of a step."""
        return oracle.repeats and int(self.forwards) == oracle.ledger.root.forwards
