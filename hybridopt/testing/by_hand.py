"""A strategy driven without a Trainer, in a script or a test of its own."""

from __future__ import annotations

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Strategy


def begin(strategy: Strategy, oracle: Oracle, batch: Batch) -> Strategy:
    """Bind a strategy to an oracle, and let it make its first state."""
    strategy.attach(oracle)
    strategy.begin(oracle, batch)
    return strategy


def deploy(strategy: Strategy, oracle: Oracle) -> None:
    """Make the model what the strategy recommends."""
    recommended = strategy.recommend()
    if recommended is not None:
        oracle.assign(recommended)
