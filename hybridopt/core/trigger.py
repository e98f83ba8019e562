"""What ends the turn of a phase in a hybrid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.engine.buffers import LateBuffers


@dataclass(frozen=True)
class Turn:
    """What a trigger sees.

    Args:
        phase: whose turn it is.
        oracle: the phase's.
        spent: the share of the hybrid's budget that this turn has spent.
    """

    phase: Strategy
    oracle: Oracle
    spent: float


class Trigger(LateBuffers):
    """Says when the turn of a phase is over.

    Each turn begins with :meth:`begin`; after each of its steps come :meth:`observe` and then, perhaps several times,
    :meth:`over`. State is in buffers, so that a resumed run ends its turns where the whole one does.

    Class attributes:
        needs: fields of :class:`~hybridopt.core.handover.Handover` that the phase must hand over; checked before
            anything trains.

    Attributes:
        limit: the share of the hybrid's budget that ends a turn; None where that is not known beforehand.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    limit: float | None = None

    def attach(self, oracle: Oracle) -> None:
        """Refuse what cannot work; called as :meth:`~hybridopt.core.strategy.Strategy.attach` is.

        Raises:
            ConfigError: the trigger waits for what will never come.
        """
        return

    def begin(self, turn: Turn) -> None:
        """A turn begins, and its phase is ready: make the state, or reset it."""
        return

    def observe(self, turn: Turn, record: Record) -> None:
        """A step has been taken, and has returned ``record``."""
        return

    def over(self, turn: Turn) -> bool:
        """Whether the turn is over, after at least one step; it changes nothing."""
        return self.limit is not None and turn.spent >= self.limit - ROUNDING


ROUNDING = 1e-9  # what a sum of shares may lack
