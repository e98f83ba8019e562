"""The rule of the study on resources, on results that are made up."""

from __future__ import annotations

import math

import pytest

from hybridopt import Outcome, Results
from hybridopt.study.finding import find_study, profile_of

SEEDS, COST = 10, 1000.0  # Adam's, to each target
STEPS = 5


def curve(cost: float | None, budget: float, seed: int) -> list[tuple[float, float]]:
    """One that reaches all targets at a cost, or none at all."""
    end = 0.97 if cost is not None else 0.5
    return [(10.0, 0.1), ((cost or 50.0) * (1 + 0.01 * seed), end), (budget, end)]


def results(times: float | None) -> Results:
    """The evolution strategy takes so many times Adam's cost; None for never."""
    study = find_study("resources")
    sizes = profile_of("resources", study, "docs").sizes
    costs = {"adam": COST, "openai_es": None if times is None else times * COST}
    arms = {
        f"{way}, d = {75 * units + 10:,}": [
            Outcome(seed, {"test/accuracy": 0.9}, curve(cost, sizes["forwards"][way], seed)) for seed in range(SEEDS)
        ]
        for units in sizes["units"]
        for way, cost in costs.items()
    }
    cells = {
        f"seed {seed}": {
            way: [curve(cost, sizes["fine-tuning"][way], seed) for _ in range(STEPS)] for way, cost in costs.items()
        }
        for seed in range(SEEDS)
    }
    return Results("docs", arms, cells)


@pytest.mark.parametrize(
    ("times", "verdict"), [(3, "supported"), (10, "not distinguishable"), (30, "refuted"), (None, "refuted")]
)
def test_a_few_is_ten_times_at_most(times: float | None, verdict: str) -> None:
    judged = find_study("resources").judge(results(times))
    assert judged.verdict == verdict
    if times is not None:
        assert judged.numbers["ratio/fine-tuning/0.95"] == pytest.approx(times)


def test_where_adam_never_gets_nothing_is_told() -> None:
    found = results(3)
    lost = [Outcome(seed, {"test/accuracy": math.nan}, curve(None, 2e5, seed), diverged=True) for seed in range(SEEDS)]
    arms = {name: lost if name.startswith("adam") else runs for name, runs in found.arms.items()}
    judged = find_study("resources").judge(Results("docs", arms, found.cells))
    assert judged.verdict == "mixed"  # fine-tuning is still a few times
    assert any("Adam never gets" in sentence for sentence in judged.found)
