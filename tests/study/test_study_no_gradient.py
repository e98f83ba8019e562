"""The verdict on what to do without a derivative, of results that are made up."""

from __future__ import annotations

import numpy as np
import pytest

from hybridopt import Outcome, Results
from hybridopt.study.finding import find_study

STUDY = find_study("no_gradient")
WITHOUT = ("errors", "steps", "F1 of two classes", "F1 of ten classes", "AUC of two classes", "AUC with outliers")
SEARCH, DESCENT = "snes", {"steps": "straight-through, adam"}


def results(levels: dict[str, tuple[float, float]]) -> Results:
    """By task, the level of one search and of one descent; other arms are at 0.5, but for noise."""
    generator = np.random.default_rng(0)
    arms = {}
    for arm in STUDY.arms(STUDY.profiles["docs"]):
        task, _, way = arm.partition(": ")
        search, descent = levels[task]
        best = {SEARCH: search, DESCENT.get(task, "cross-entropy, adam"): descent}
        values = best.get(way, 0.5) + 0.003 * generator.normal(size=10)
        if task.startswith("AUC"):  # it is the objective's, and the accuracy says nothing of it
            metrics = [{"test/accuracy": 0.5, "test/loss": float(1 - value)} for value in values]
        else:
            metrics = [{"test/accuracy": float(value), "test/f1": float(value)} for value in values]
        arms[arm] = [Outcome(100 + i, each) for i, each in enumerate(metrics)]
    return Results("docs", arms)


@pytest.mark.parametrize(
    ("smooth", "without", "verdict"),
    [
        ((0.7, 0.9), dict.fromkeys(WITHOUT, (0.9, 0.7)), "supported"),
        ((0.7, 0.9), dict.fromkeys(WITHOUT, (0.8, 0.9)), "refuted"),  # borrowed derivatives lead
        ((0.7, 0.9), dict.fromkeys(WITHOUT, (0.9, 0.9)), "refuted"),  # and are as good
        ((0.9, 0.7), dict.fromkeys(WITHOUT, (0.9, 0.7)), "refuted"),
        ((0.7, 0.9), dict.fromkeys(WITHOUT, (0.8, 0.9)) | {"errors": (0.9, 0.6)}, "mixed"),
    ],
)
def test_the_verdict_follows_the_rule(
    smooth: tuple[float, float], without: dict[str, tuple[float, float]], verdict: str
) -> None:
    assert STUDY.judge(results({"smooth": smooth, **without})).verdict == verdict


def test_nothing_is_told_of_runs_that_diverged() -> None:
    whole = results(dict.fromkeys(("smooth", *WITHOUT), (0.7, 0.9)))
    lost = {arm: [Outcome(run.seed, {}, diverged=True) for run in runs] for arm, runs in whole.arms.items()}
    judgement = STUDY.judge(Results("docs", lost | {"errors: snes": []}))
    assert judgement.verdict != "supported"
    assert STUDY.judge(Results("docs")).verdict == "not distinguishable"
