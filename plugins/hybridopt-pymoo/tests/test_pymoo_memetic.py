"""Members of a front that descend before they are judged, in weights and in masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hybridopt import Budget, Ledger, Oracle, Strategy, compose, run
from hybridopt.composition import building

B, POPSIZE, STEPS = 30, 8, 2
SPECS = {"loss": {"name": "cross_entropy"}, "other": {"name": "zero_weights", "below": 0.1}}
SIGNS = {"name": "supermask", "rule": "sign", "init": "signed_constant"}
each_way = pytest.mark.parametrize(("encoding", "variation"), [(None, "real"), (SIGNS, "binary"), (SIGNS, "real")])


def begun(encoding: dict[str, Any] | None, variation: str, **settings: Any) -> tuple[Strategy, Oracle, Any]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, 3))
    inputs = torch.randn(B, 4)
    batch = inputs, inputs[:, :3].argmax(dim=1)
    inner = {"name": "nsga2", "popsize": POPSIZE, "variation": variation, "choice": "lexicographic"}
    strategy = building.build("strategy", {"name": "memetic", "inner": inner, "lr": 1.0, "steps": STEPS, **settings})
    objective = building.build("objective", {"name": "several", "parts": SPECS})
    oracle = Oracle(
        model,
        objective,
        Ledger(Budget(forwards=1e9)),
        torch.Generator().manual_seed(1),
        encoding=encoding and building.build("encoding", encoding),
    )
    strategy.attach(oracle)
    strategy.begin(oracle, batch)
    return strategy, oracle, batch


@each_way
def test_what_is_learned_is_written_back_and_its_readings_are_those_of_the_front(encoding: Any, variation: str) -> None:
    strategy, oracle, batch = begun(encoding, variation)
    first = oracle.losses(oracle.start[None], batch)
    assert oracle.ledger.forwards == B
    for generation in range(6):
        strategy.step(oracle, batch)
        judged = POPSIZE * (2 * generation + 1)  # the first members once, then with their children, who come new
        assert oracle.ledger.forwards == B + judged * B * (3 * STEPS + 1)
    front = strategy.front()
    readings = oracle.readings(front, batch)
    torch.testing.assert_close(readings, strategy.inner.front_readings())
    assert readings[:, 0].min() < 0.9 * first
    assert (front == strategy.recommend()).all(dim=1).any()


def test_without_writing_back_the_front_is_what_is_recommended() -> None:
    strategy, oracle, batch = begun(None, "real", inheritance="baldwinian")
    first = oracle.losses(oracle.start[None], batch)
    for _ in range(4):
        strategy.step(oracle, batch)
    assert strategy.front() is None
    assert oracle.losses(strategy.recommend()[None], batch) < first


def test_descent_helps_a_search_for_fronts_at_equal_cost(tmp_path) -> None:
    """On digits, by the best loss of the front: 0.62 of accuracy against 0.25 with one seed."""
    shared = (
        "objectives={loss: cross_entropy, norm: l1_norm}",
        "budget.forwards=5e5",
        "budget.marks=2",
        "tracking=none",
        "trainer.enable_progress_bar=false",
    )
    inner = ("strategy=memetic", "strategy/inner=nsga2", "strategy.inner.choice=lexicographic")
    assert compose(*shared, *inner).strategy.inner.name == "nsga2"
    learned = run(*shared, *inner, directory=tmp_path / "memetic").summary["test/loss"]
    alone = run(*shared, "strategy=nsga2", "strategy.choice=lexicographic", directory=tmp_path / "alone")
    assert learned < alone.summary["test/loss"]
