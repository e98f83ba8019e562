"""The verdict on deceptive problems, of results that are made up."""

from __future__ import annotations

import pytest

from hybridopt import Outcome, Results
from hybridopt.study.finding import find_study

STUDY = find_study("deceptive")
ARMS = tuple(STUDY.arms(STUDY.profiles["docs"]))
SEEDS = range(100, 125)


def results(robot: dict[str, int], traps: dict[str, int]) -> Results:
    """Of each arm so many runs succeed; of those that are not named none does."""
    arms = {
        arm: [Outcome(seed, {"test/loss": 0.001 if seed - 100 < robot.get(arm, 0) else 0.2}) for seed in SEEDS]
        for arm in ARMS
    }
    cells = {
        f"traps, {arm}": {
            "strategy": arm,
            "losses": {str(seed): float(seed - 100 >= traps.get(arm, 0)) for seed in SEEDS},
        }
        for arm in ARMS
    }
    return Results("docs", arms, cells)


@pytest.mark.parametrize(
    ("robot", "traps", "verdict"),
    [
        ({"snes": 20}, {"openai_es": 20}, "supported"),
        ({"snes": 20}, {}, "mixed"),
        ({"nsr_es": 20}, {"nsr_es": 20}, "mixed"),  # only with novelty
        ({"snes": 20, "adam": 20}, {"snes": 20, "random_search": 20}, "not distinguishable"),
        ({"genetic_algorithm": 20}, {"deep_ga": 3}, "refuted"),
        ({}, {}, "not distinguishable"),
    ],
)
def test_the_verdict_follows_the_rule(robot: dict[str, int], traps: dict[str, int], verdict: str) -> None:
    assert STUDY.judge(results(robot, traps)).verdict == verdict


def test_runs_that_are_missing_or_diverged_do_not_succeed() -> None:
    found = results({"snes": 25}, {})
    arms = {"snes": [Outcome(100, {"test/loss": 0.0}, diverged=True), *found.arms["snes"][1:]], "adam": []}
    judgement = STUDY.judge(Results("docs", arms, {}))
    assert judgement.numbers == {"robot/snes": 24 / 25}
