"""Strategies that train a module without a Trainer: what the cells of studies compute."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import nn

from hybridopt.composition import building
from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.objective import Batch, Objective
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Strategy
from hybridopt.testing.by_hand import begin, deploy

PLENTY = 1e15  # forwards, where the batches end the training


def built(strategy: Mapping[str, Any] | Strategy) -> Strategy:
    """A strategy by its config; what is nested in it may be built already.

    Args:
        strategy: ``name`` and settings; a strategy stays as it is.

    Raises:
        PluginError: there is none of that name.
        ConfigError: it refuses its settings.
    """
    return cast(Strategy, building.build("strategy", strategy))


def train(
    strategy: Mapping[str, Any] | Strategy,
    module: nn.Module,
    objective: str | Objective,
    batches: Iterable[Batch],
    seed: int,
    forwards: float = math.inf,
    unchanged: bool = False,
) -> Ledger:
    """Train a module in place until the budget is spent, the batches have ended, or the strategy has finished.

    Args:
        strategy: its config, or the strategy.
        module: becomes what the strategy recommends.
        objective: the name of one, or the objective.
        batches: a step is taken on each; at least one.
        seed: of all draws.
        forwards: the budget; infinite where the batches end it.
        unchanged: whether all batches are the same, which strategies may make use of.

    Returns:
        What it has cost.
    """
    if isinstance(objective, str):
        objective = cast(Objective, building.build("objective", {"name": objective}))
    ledger = Ledger(Budget(forwards=min(forwards, PLENTY)))
    oracle = Oracle(module, objective, ledger, torch.Generator().manual_seed(seed))
    oracle.feed.unchanged = unchanged
    trained = built(strategy)
    for number, batch in enumerate(batches):
        if number == 0:
            begin(trained, oracle, batch)
        if oracle.exhausted or trained.finished():
            break
        trained.step(oracle, batch)
    deploy(trained, oracle)
    return ledger
