"""The kit, over every plugin of this package; and that each one is what its package makes of the same gradients."""

from __future__ import annotations

import pytest
import torch
from lion_pytorch import Lion
from prodigyopt import Prodigy
from schedulefree import AdamWScheduleFree
from torch import nn

from hybridopt import Budget, Ledger, Oracle
from hybridopt.composition import building
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.testing import installed, parametrize_with_checks
from hybridopt.testing.by_hand import begin


@parametrize_with_checks(installed(package="hybridopt-optimizers"))
def test_conformance(plugin, check):
    check(plugin)


PEERS = {
    "lion": lambda parameters: Lion(parameters, lr=1e-3, weight_decay=0.01),
    "prodigy": lambda parameters: Prodigy(parameters, lr=1.0),
    "schedule_free": lambda parameters: AdamWScheduleFree(parameters, lr=0.01),
}


@pytest.mark.parametrize("name", PEERS)
def test_it_is_the_package_s_own(name: str) -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(32, 3), torch.randn(32, 1)
    ours, theirs = nn.Linear(3, 1), nn.Linear(3, 1)
    theirs.load_state_dict(ours.state_dict())
    settings = {"name": name} if name == "schedule_free" else {"name": name, "schedule": "constant"}
    strategy = building.build("strategy", settings)
    oracle = Oracle(ours, MeanSquaredError(), Ledger(Budget(forwards=1e6)), torch.Generator().manual_seed(0))
    begin(strategy, oracle, (inputs, targets))
    peer = PEERS[name](list(theirs.parameters()))
    if name == "schedule_free":
        peer.train()
    for _ in range(20):
        strategy.step(oracle, (inputs, targets))
        peer.zero_grad()
        nn.functional.mse_loss(theirs(inputs), targets).backward()
        peer.step()
    if name == "schedule_free":
        peer.eval()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)
    assert oracle.ledger.forwards == 20 * 3 * 32
