"""The study of games: its rule, of results that are made up, and its policy gradient."""

from __future__ import annotations

import pytest
from hybridopt_neat.games import GAMES, GRADIENT, arm_of, merit, played

from hybridopt import Outcome, Results
from hybridopt.study.finding import find_study

STUDY = find_study("games")
DOCS = STUDY.profiles["docs"]
NEVER = 0.0
MARKS = (1e3, 1e4, 1e5)


def curve(game: str, solved_at: float) -> list[tuple[float, float]]:
    """At the target from so many steps on; never for 0."""
    target = GAMES[game].target
    return [(steps, target if solved_at and steps >= solved_at else target - 100) for steps in MARKS]


def results(solved_at: dict[str, float], gradient: float, only: tuple[str, ...] = tuple(GAMES)) -> Results:
    """When each way solves the games that are named; others are never solved, but by the policy gradient."""
    arms, cells = {}, {}
    for arm in STUDY.arms(DOCS):
        game, _, way = arm.partition(": ")
        at = solved_at.get(way, NEVER) if game in only else NEVER
        arms[arm] = [Outcome(seed, {}, curve(game, at)) for seed in DOCS.fresh]
    for game in GAMES:
        at = gradient if game in only else NEVER
        cells[arm_of(game, GRADIENT)] = {"lr": 0.1, "curves": {str(seed): curve(game, at) for seed in DOCS.fresh}}
    return Results("docs", arms, cells)


@pytest.mark.parametrize(
    ("solved_at", "gradient", "only", "verdict"),
    [
        ({"neat": 1e3}, 1e4, tuple(GAMES), "supported"),
        ({"neat": 1e3}, 1e4, ("cartpole",), "mixed"),
        ({"neat": 1e4}, 1e3, tuple(GAMES), "refuted"),
        ({"neat": 1e3, "random_search": 1e3}, 1e4, tuple(GAMES), "not distinguishable"),  # chance does it too
        ({}, NEVER, tuple(GAMES), "not distinguishable"),
    ],
)
def test_the_verdict_follows_the_rule(
    solved_at: dict[str, float], gradient: float, only: tuple[str, ...], verdict: str
) -> None:
    assert STUDY.judge(results(solved_at, gradient, only)).verdict == verdict


def test_runs_that_are_missing_decide_nothing() -> None:
    whole = results({"neat": 1e3}, 1e4)
    assert STUDY.judge(Results("docs", whole.arms, {})).verdict == "not distinguishable"
    assert STUDY.judge(Results("docs", {}, {})).verdict == "not distinguishable"


def test_the_soonest_trial_is_the_best_and_else_the_closest() -> None:
    soon, late, close, far = ([(1e3, 480)], [(1e4, 500)], [(1e4, 400)], [(1e4, 100)])
    assert merit(soon, "cartpole") > merit(late, "cartpole") > merit(close, "cartpole") > merit(far, "cartpole")


@pytest.mark.slow
@pytest.mark.parametrize(("game", "steps", "better_than"), [("cartpole", 2e4, 300), ("pendulum", 6e4, -900)])
def test_the_policy_gradient_learns_to_play(game: str, steps: float, better_than: float) -> None:
    assert max(value for _, value in played(STUDY, game, steps, lr=7e-3, seed=1)) > better_than
