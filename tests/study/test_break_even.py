"""The rule of the study on break-evens, on results that are made up."""

from __future__ import annotations

import math

import pytest

from hybridopt import Outcome, Results
from hybridopt.study.cluster import Machine, fitted
from hybridopt.study.finding import find_study

SEEDS = 8
FREE = Machine(0.0, 0.0, 64e-6, 0.0, 3e-6)  # nothing but forwards of a microsecond
BUSY = Machine(0.01, 1e-5, 64e-6, 1e-4, 3e-6, 1e-3)


def results(generations: float, machine: Machine, spread: float = 0.0) -> Results:
    """Adam takes a hundred steps of 64 samples, the strategy so many generations of 768 members."""
    counts = {"adam 64": (100.0, 3 * 64), "openai_es 48": (1e4, 64 * 48), "openai_es 768": (generations, 64 * 768)}
    arms = {
        name: [
            Outcome(seed, {"test/accuracy": 0.9}, [(count * cost * (1 + (name != "adam 64") * spread * jitter), 0.95)])
            for seed, jitter in enumerate((-1.0, -0.7, -0.4, -0.1, 0.1, 0.4, 0.7, 1.0))
        ]
        for name, (count, cost) in counts.items()
    }
    times = [[n, w, machine.generations([n], [w])[0, 0]] for w in (1, 2, 4) for n in (48, 192, 768)]
    steps = {str(b): machine.steps([b], [1])[0, 0] for b in (64, 256, 1024)}
    cell = {"generations": times, "steps": steps, "exchange": machine.exchange, "gradient": 2 * machine.exchange}
    return Results("docs", arms, {"round 0": cell})


@pytest.mark.parametrize(
    ("generations", "machine", "spread", "verdict"),
    [
        (75, FREE, 0.0, "supported"),  # four members on each of 192 workers
        (75, BUSY, 0.0, "mixed"),  # by forwards alone
        (10, FREE, 0.0, "refuted"),  # a few dozen do
        (1000, FREE, 0.0, "refuted"),  # not even a worker for each member
        (38, FREE, 0.6, "not distinguishable"),  # about a hundred
    ],
)
def test_the_break_even_counts_with_and_without_overheads(
    generations: float, machine: Machine, spread: float, verdict: str
) -> None:
    judged = find_study("break_even").judge(results(generations, machine, spread))
    assert judged.verdict == verdict
    if generations == 75:
        assert judged.numbers["workers/ideal"] == pytest.approx(192, abs=6)


@pytest.mark.parametrize("side", ["adam", "openai_es"])
def test_nothing_is_told_where_a_side_never_gets_there(side: str) -> None:
    found = results(75, FREE)
    lost = [Outcome(seed, {"test/accuracy": math.nan}, [(1e5, 0.1)], diverged=True) for seed in range(SEEDS)]
    arms = {name: lost if name.startswith(side) else runs for name, runs in found.arms.items()}
    judged = find_study("break_even").judge(Results("docs", arms, found.cells))
    assert judged.verdict == "not distinguishable"
    assert not judged.numbers


def test_the_model_finds_the_machine_that_was_measured() -> None:
    times = {(n, w): float(BUSY.generations([n], [w])[0, 0]) for w in (1, 2) for n in (48, 192, 768)}
    steps = {b: float(BUSY.steps([b], [1])[0, 0]) for b in (64, 256)}
    found = fitted(times, steps, exchange=1e-4, gradient=3e-4)
    assert vars(found) == pytest.approx(vars(BUSY) | {"gradient": 2e-4}, rel=1e-6)
