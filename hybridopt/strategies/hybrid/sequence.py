"""Strategies one after the other, such as a search and then gradient descent."""

from __future__ import annotations

from hybridopt.core.hybrid import Hybrid
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Strategy


class Sequence(Hybrid):
    """Phases one after the other, each starting from what the one before recommends.

    Good for strategies that take turns: a search for the start, a gradient for the rest.

    Args:
        phases: the strategies by name, in order.
        shares: the share of the budget of each phase by name; equal shares if empty.
    """

    def __init__(self, phases: dict[str, Strategy], shares: dict[str, float] = {}):
        super().__init__(phases, shares or {name: 1 / len(phases) for name in phases})

    def view(self, name: str, oracle: Oracle) -> Oracle:
        return oracle
