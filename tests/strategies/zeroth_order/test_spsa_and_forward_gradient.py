"""Estimates along random directions: unbiased, and as exact as they claim."""

from __future__ import annotations

import torch
from small_problems import begin
from torch import nn

from hybridopt import Budget
from hybridopt.composition import building
from hybridopt.core.ledger import Ledger
from hybridopt.core.oracle import Oracle
from hybridopt.objectives.mse import MeanSquaredError


def linear_oracle() -> tuple[Oracle, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    batch = torch.randn(20, 3), torch.randn(20, 1)
    generator = torch.Generator().manual_seed(0)
    return Oracle(model, MeanSquaredError(), Ledger(Budget(forwards=1e9)), generator), batch


def gradient(oracle: Oracle, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    oracle.gradient(batch)
    return torch.cat([parameter.grad.flatten() for parameter in oracle.model.parameters()])


def test_a_forward_gradient_is_unbiased() -> None:
    oracle, batch = linear_oracle()
    true = gradient(oracle, batch)
    strategy = building.build("strategy", {"name": "forward_gradient", "samples": 20_000})
    begin(strategy, oracle, batch)
    _, estimate = strategy.estimate(oracle, batch)
    spread = true.norm() * ((len(true) + 1) / 20_000) ** 0.5  # its standard deviation, in all
    assert (estimate - true).norm() < 2 * spread
    assert torch.cosine_similarity(estimate, true, dim=0) > 0.99


def test_a_forward_gradient_has_the_alignment_that_theory_gives() -> None:
    oracle, batch = linear_oracle()
    true = gradient(oracle, batch)
    strategy = building.build("strategy", {"name": "forward_gradient", "samples": 10})
    begin(strategy, oracle, batch)
    found = [torch.cosine_similarity(strategy.estimate(oracle, batch)[1], true, dim=0) for _ in range(300)]
    wanted = (10 / (10 + len(true))) ** 0.5  # sqrt(n / (n + d))
    assert abs(float(torch.stack(found).mean()) - wanted) < 0.06


def test_spsa_asks_for_two_losses_whatever_the_dimension() -> None:
    oracle, batch = linear_oracle()
    strategy = building.build("strategy", {"name": "spsa", "calibration": 3, "probe": 0})
    begin(strategy, oracle, batch)
    assert oracle.ledger.evaluations == 6
    strategy.step(oracle, batch)
    assert oracle.ledger.evaluations == 8


def test_the_first_step_of_spsa_has_the_wanted_size() -> None:
    oracle, batch = linear_oracle()
    strategy = building.build("strategy", {"name": "spsa", "first_step": 0.01, "calibration": 200})
    begin(strategy, oracle, batch)
    strategy.step(oracle, batch)
    before = strategy.theta.clone()
    sizes = []
    for _ in range(50):
        strategy.step(oracle, batch)
        sizes.append((strategy.theta - before).abs().mean())
        before = strategy.theta.clone()
    assert 0.002 < float(torch.stack(sizes).mean()) < 0.03
