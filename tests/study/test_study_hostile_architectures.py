"""The verdict on architectures that are hostile to descent, of results that are made up."""

from __future__ import annotations

import pytest

from hybridopt import Outcome, Results
from hybridopt.study.finding import find_study

STUDY = find_study("hostile_architectures")
SEEDS = range(100, 110)
MENDED = ("orthogonal weights", "gru")
NAMES = STUDY.profiles["docs"].sizes["names"]


def results(trained: dict[str, int], only: tuple[str, ...] = tuple(NAMES)) -> Results:
    """Of each way so many runs train on some architectures, and elsewhere none does."""
    arms = {}
    for arm in STUDY.arms(STUDY.profiles["docs"]):
        name, _, way = arm.partition(": ")
        count = trained.get(way, 0) if name in only else 0
        levels = [0.9 if seed - 100 < count else 0.1 for seed in SEEDS]
        arms[arm] = [
            Outcome(seed, {"test/accuracy": level, "test/r2": level}) for seed, level in zip(SEEDS, levels, strict=True)
        ]
    return Results("docs", arms)


ALL = dict.fromkeys(MENDED, 10)


@pytest.mark.parametrize(
    ("trained", "only", "verdict"),
    [
        (ALL | {"snes": 10}, tuple(NAMES), "supported"),
        (ALL, tuple(NAMES), "refuted"),
        ({"snes": 10}, tuple(NAMES), "mixed"),  # what was mended does not help
        (ALL | {"snes": 10}, tuple(NAMES[:1]), "mixed"),
        (ALL | {"snes": 10, "adam": 8}, tuple(NAMES), "not distinguishable"),  # none is hostile
        ({"snes": 3}, tuple(NAMES), "not distinguishable"),
    ],
)
def test_the_verdict_follows_the_rule(trained: dict[str, int], only: tuple[str, ...], verdict: str) -> None:
    assert STUDY.judge(results(trained, only)).verdict == verdict


def test_runs_that_are_missing_or_diverged_do_not_train() -> None:
    whole = results(ALL | {"snes": 10})
    lost = {arm: [Outcome(run.seed, run.metrics, diverged=True) for run in runs] for arm, runs in whole.arms.items()}
    assert STUDY.judge(Results("docs", lost)).verdict == "not distinguishable"
    assert STUDY.judge(Results("docs")).verdict == "not distinguishable"
