"""Branches of one network: what they see, what they cost, what is made of them."""

from __future__ import annotations

import pytest
import torch
from small_problems import begin
from torch import nn

from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.oracle import Oracle
from hybridopt.errors import ConfigError
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.strategies.gradient.branch_train import BranchTrain, part_of


def batch(classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(32, 5, generator=generator), torch.randint(classes, (32,), generator=generator)


def oracle(forwards: float = 1e5) -> Oracle:
    torch.manual_seed(0)
    model = nn.Linear(5, 4)
    return Oracle(model, CrossEntropy(), Ledger(Budget(forwards=forwards)), torch.Generator().manual_seed(0))


def trained(strategy: BranchTrain, steps: int, data: tuple[torch.Tensor, torch.Tensor] | None = None) -> Oracle:
    there = oracle()
    begin(strategy, there, data or batch())
    for _ in range(steps):
        strategy.step(there, data or batch())
    return there


def test_together_it_is_descent_of_one_network() -> None:
    strategy = BranchTrain(together=0.9)
    there = trained(strategy, 5)
    assert torch.equal(strategy.members, strategy.members[:1].expand_as(strategy.members))
    assert there.ledger.forwards == 5 * 3 * 32


def test_apart_each_branch_sees_its_own_classes_only() -> None:
    """Other inputs of one class change the branch that has it, and no other."""
    inputs, targets = batch()
    other = inputs + 9 * (targets == 2)[:, None]
    one, two = (BranchTrain(together=0.0, by="label") for _ in range(2))
    trained(one, 3, (inputs, targets))
    trained(two, 3, (other, targets))
    same = [torch.equal(a, b) for a, b in zip(one.members, two.members, strict=True)]
    assert same == [True, True, False, True]


def test_a_step_apart_costs_a_gradient_of_each_sample() -> None:
    assert trained(BranchTrain(together=0.0), 4).ledger.forwards == 4 * 3 * 32


def test_a_branch_without_a_sample_stays_where_it_is() -> None:
    strategy = BranchTrain(branches=4, together=0.0, by="label")
    there = trained(strategy, 3, (batch()[0], torch.zeros(32, dtype=torch.int64)))
    assert not torch.equal(strategy.members[0], there.start)
    assert torch.equal(strategy.members[1:], there.start.expand(3, -1))


def test_the_mean_is_recommended_and_the_branches_are_handed_over() -> None:
    strategy = BranchTrain(together=0.0)
    trained(strategy, 3)
    population = strategy.handover().population
    assert population is not None
    assert torch.equal(strategy.recommend(), population.mean(0))
    assert len(population.unique(dim=0)) == 4


@pytest.mark.parametrize("shape", [(3000, 64), (3000, 1), (3000, 2, 5)])
def test_samples_are_spread_evenly_and_always_alike(shape: tuple[int, ...]) -> None:
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    parts = part_of(inputs, 5)
    assert parts.bincount(minlength=5).min() > 500
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(1))
    assert torch.equal(part_of(inputs[order], 5), parts[order])


def test_classes_are_asked_for_where_labels_decide() -> None:
    inputs, _ = batch()
    with pytest.raises(ConfigError, match=r"take strategy\.by=sample"):
        begin(BranchTrain(by="label"), oracle(), (inputs, inputs[:, :1]))


@pytest.mark.parametrize("settings", [{"branches": 1}, {"together": 1.0}, {"lr": 0.0}, {"by": "row"}])
def test_what_cannot_work_is_refused(settings: dict) -> None:
    with pytest.raises(ConfigError, match=r"strategy\."):
        BranchTrain(**settings)
