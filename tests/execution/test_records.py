"""What steps return, and a strategy that computes nothing."""

from __future__ import annotations

import pytest

from hybridopt.core.ledger import Budget, Ledger
from hybridopt.errors import PluginError
from hybridopt.execution import records
from hybridopt.execution.records import Records


@pytest.mark.parametrize("limits", [{"forwards": 100}, {"evaluations": 100}, {"forwards": 100, "seconds": 60}])
def test_a_strategy_that_computes_nothing_is_told_to_finish_where_nothing_else_ends_it(limits, monkeypatch) -> None:
    monkeypatch.setattr(records, "IDLE", 5)
    ledger = Ledger(Budget(**limits))
    kept = Records(ledger)
    for _ in range(20):
        kept.add({})
        ledger.charge(1, 1)
    for _ in range(5):
        kept.add({})
    if "seconds" in limits:
        kept.add({})
    else:
        with pytest.raises(PluginError, match=r"nothing in its last 5 steps.*finished\(\)"):
            kept.add({})
