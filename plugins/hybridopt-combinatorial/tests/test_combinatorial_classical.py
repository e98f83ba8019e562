"""Classical heuristics find solutions of the cost that they say, and small optima; and the study's rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hybridopt_combinatorial.classical import PROBLEMS, local_search
from hybridopt_combinatorial.exact import flow_shop as exact_flow_shop
from hybridopt_combinatorial.sizes import EXACT, Problem, drawn

from hybridopt import Outcome, Results
from hybridopt.composition import building
from hybridopt.study.finding import find_study

SMALL = {
    "tsp": Problem("tsp", {"cities": 8}),
    "knapsack": Problem("knapsack", {"items": 10}),
    "flow_shop": Problem("flow_shop", {"jobs": 6, "machines": 3}),
    "set_partitioning": Problem("set_partitioning", {"flights": 8, "pairings": 20}),
}
OBJECTIVES = {"tsp": "tour_length", "knapsack": "packed_value", "flow_shop": "makespan"}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_local_search_finds_small_optima_and_is_no_worse_than_greedy(name: str, seed: int) -> None:
    problem, instance = PROBLEMS[name], drawn(SMALL[name], seed)
    solve = EXACT.get(name, exact_flow_shop.solve)
    found = local_search(problem, instance, 0.2, seed)
    assert found <= problem.cost(instance, problem.greedy(instance))
    assert found == pytest.approx(solve(instance, 10).bound, rel=1e-6)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_costs_are_those_of_the_objective(name: str) -> None:
    instance = drawn(SMALL[name], 1)
    solution = PROBLEMS[name].start(instance, np.random.default_rng(0))
    keys = torch.zeros(len(solution))
    if name == "knapsack":
        keys = torch.from_numpy(solution).float() - 0.5
    else:
        keys[torch.from_numpy(solution)] = torch.arange(len(solution)).float()
    objective = building.build("objective", {"name": OBJECTIVES[name]})
    cost = objective.loss(keys[None], torch.from_numpy(instance).float()[None])
    assert PROBLEMS[name].cost(instance, solution) == pytest.approx(float(cost), rel=1e-5)


# -- the rule ---------------------------------------------------------------------------------------------------------

STUDY = find_study("np_hard")
DOCS = STUDY.profiles["docs"]


def results(metaheuristic: float, local: float, proven_in: float | None) -> Results:
    """On each problem, costs of all metaheuristics and of local search, and when the exact solver proves 1."""
    seeds = [str(seed) for seed in DOCS.fresh]
    noise = dict(zip(seeds, 0.001 * np.random.default_rng(0).random(len(seeds)), strict=True))
    proofs = {} if proven_in is None else dict.fromkeys(seeds, 1.0)
    cells = {
        name: {
            "problem": name,
            "seconds": 1.2,
            "exact": proofs,
            "proven in": dict.fromkeys(proofs, proven_in),
            "greedy": dict.fromkeys(seeds, 2.0),
            "greedy in": dict.fromkeys(seeds, 0.01),
            "local search": {seed: local + noise[seed] for seed in seeds},
        }
        for name in DOCS.sizes["problems"]
    }
    metrics = {"cost/seconds": 0.8}
    arms = {
        arm: [Outcome(int(seed), metrics | {"test/loss": metaheuristic - noise[seed]}) for seed in seeds]
        for arm in STUDY.arms(DOCS)
    }
    return Results("docs", arms, cells)


@pytest.mark.parametrize(
    ("metaheuristic", "local", "proven_in", "verdict"),
    [
        (1.1, 1.2, None, "supported"),
        (1.1, 1.2, 10.0, "supported"),  # proven, but later
        (1.1, 1.2, 0.5, "refuted"),
        (1.2, 1.1, None, "refuted"),
        (2.0, 2.0, None, "supported"),  # by a little, on each instance
    ],
)
def test_the_verdict_follows_the_rule(
    metaheuristic: float, local: float, proven_in: float | None, verdict: str
) -> None:
    assert STUDY.judge(results(metaheuristic, local, proven_in)).verdict == verdict


def test_runs_that_diverged_or_are_missing_belong_to_nobody() -> None:
    whole = results(1.1, 1.2, None)
    lost = {arm: [Outcome(run.seed, run.metrics, diverged=True) for run in runs] for arm, runs in whole.arms.items()}
    assert STUDY.judge(Results("docs", lost, whole.cells)).verdict == "not distinguishable"
    assert STUDY.judge(Results("docs", {}, whole.cells)).verdict == "not distinguishable"
    assert STUDY.judge(Results("docs", {}, {})).verdict == "not distinguishable"
