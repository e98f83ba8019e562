"""Training records, averaged between two points of a curve, and what has been spent."""

from __future__ import annotations

from typing import Any

from hybridopt.core.ledger import Ledger
from hybridopt.core.strategy import Record
from hybridopt.errors import PluginError
from hybridopt.execution.averages import Averages

IDLE = 10_000  # steps in a row that compute nothing, after which a run would go on for ever
PER_MARK = 10  # training losses are averaged over this part of the way between two marks


class Records:
    """Averages of what steps return, due ten times between two marks.

    Args:
        ledger: of the whole run.
    """

    def __init__(self, ledger: Ledger):
        self.ledger = ledger
        self._averages = Averages()
        self._taken = 0
        self._spent, self._idle = -1, 0

    def add(self, record: Record) -> None:
        """What one step has returned.

        Raises:
            PluginError: the strategy computes nothing any more, in a budget that counts only what is.
        """
        self._averages.add(record)
        self._idle = self._idle + 1 if self.ledger.forwards == self._spent else 0
        self._spent = self.ledger.forwards
        if self._idle >= IDLE and self.ledger.budget.seconds is None:
            raise PluginError(
                f"The strategy has computed nothing in its last {IDLE} steps, so that the budget is never spent: where "
                "it can do no more, let its finished() return True."
            )

    @property
    def due(self) -> bool:
        """Whether the next point of the curve is reached."""
        return self._passed() > self._taken

    @property
    def next_point(self) -> float:
        """The share of the budget at which it is."""
        return self.ledger.budget.share_at(self._taken + 1, self._points)

    def take(self) -> dict[str, float]:
        """The averages since the last point, under "train/<name>", and the costs."""
        self.skip()
        return {f"train/{name}": value for name, value in self._averages.take().items()} | self.costs()

    def skip(self) -> None:
        """Count the points up to now as taken, as after a resume."""
        self._taken = self._passed()

    def costs(self) -> dict[str, float]:
        """What has been spent."""
        ledger = self.ledger
        spent = {"forwards": ledger.forwards, "seconds": ledger.seconds, "evaluations": ledger.evaluations}
        return {f"cost/{name}": value for name, value in spent.items()}

    def state_dict(self) -> dict[str, Any]:
        """The averages, as plain values."""
        return self._averages.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self._averages.load_state_dict(state)

    def _passed(self) -> int:
        return self.ledger.budget.points_passed(self.ledger.progress, self._points)

    @property
    def _points(self) -> int:
        return self.ledger.budget.marks * PER_MARK
