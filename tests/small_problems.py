"""Oracles of small problems, for tests of single strategies."""

from __future__ import annotations

import torch
from torch import nn

from hybridopt import Budget
from hybridopt.composition import building
from hybridopt.core.ledger import Ledger
from hybridopt.core.objective import Batch, Objective
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Strategy
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.testing.by_hand import begin as begin
from hybridopt.testing.by_hand import deploy as deploy
from hybridopt.testing.plugins import filled
from hybridopt.testing.problems import Point as Point


def oracle_for(model: nn.Module, objective: Objective | None = None, forwards: float = 1e7, seed: int = 0) -> Oracle:
    """An oracle with a budget and a seed."""
    generator = torch.Generator().manual_seed(seed)
    return Oracle(model, objective or MeanSquaredError(), Ledger(Budget(forwards=forwards)), generator)


def make_strategy(name: str, **settings: object) -> Strategy:
    """A strategy by name, with its defaults, parts included."""
    return building.build("strategy", filled("strategy", {"name": name, **settings}))


def run_steps(strategy: Strategy, oracle: Oracle, batch: Batch, steps: int) -> Strategy:
    """So many steps on one batch, or until the budget is spent; the model is what is recommended then."""
    begin(strategy, oracle, batch)
    for _ in range(steps):
        if oracle.exhausted:
            break
        strategy.step(oracle, batch)
    deploy(strategy, oracle)
    return strategy


def linear_problem(samples: int = 60) -> tuple[nn.Module, Batch, torch.Tensor]:
    """A linear network without offset, data with noise, and the least-squares weights (3,)."""
    torch.manual_seed(0)
    x = torch.randn(samples, 3)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.1 * torch.randn(samples, 1)
    return nn.Linear(3, 1, bias=False), (x, y), torch.linalg.lstsq(x, y).solution[:, 0]
