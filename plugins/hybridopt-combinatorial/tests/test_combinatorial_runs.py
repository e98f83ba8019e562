"""The problems as users run them: any search, the experiments, the solution as a file, and a run that is resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import hybridopt_combinatorial.conf
import pytest
import torch

from hybridopt import Budget, ConfigError, Ledger, Oracle, compose, run
from hybridopt.composition import building, registry
from hybridopt.composition.describe import REQUIRED
from hybridopt.testing.by_hand import begin, deploy

PROBLEMS = {
    "tsp": "tour_length",
    "knapsack": "packed_value",
    "flow_shop": "makespan",
    "set_partitioning": "crew_cost",
    "cluster_zeros": "share_of_zeros",
}
EXPERIMENTS = sorted(path.stem for path in Path(hybridopt_combinatorial.conf.__file__).parent.glob("experiment/*.yaml"))
SMALL = {
    "tsp": ["dataset.cities=9"],
    "knapsack": ["dataset.items=12"],
    "flow_shop": ["dataset.jobs=7"],
    "set_partitioning": ["dataset.flights=8", "dataset.pairings=30"],
    "cluster_zeros": ["dataset.rows=20"],
}
QUICK = ["budget.forwards=2000", "budget.marks=4", "trainer.enable_progress_bar=false"]


def searches():
    """Every strategy of hybridopt itself that works on losses alone and can be built as it is."""
    for name in registry.names("strategy"):
        plugin = registry.find("strategy", name)
        needs_more = any(parameter.default is REQUIRED for parameter in plugin.describe().parameters)
        if plugin.distribution == "hybridopt" and not needs_more:
            requires = getattr(plugin.load(), "requires", None)
            if requires == frozenset({"losses"}):
                yield name


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("strategy", list(searches()))
def test_any_search_works_on_any_problem(problem, strategy):
    data = building.build("dataset", {"name": problem, "time_limit": 0})
    objective = building.build("objective", {"name": PROBLEMS[problem]}, spec=data.spec)
    torch.manual_seed(0)
    model = building.build("model", {"name": "solution"}, spec=data.spec)
    oracle = Oracle(model, objective, Ledger(Budget(forwards=600)), torch.Generator().manual_seed(0))
    search, batch = building.build("strategy", {"name": strategy}), data.sets["train"]
    first = objective.loss(model(batch[0]), batch[1])
    begin(search, oracle, batch)
    while not oracle.exhausted:
        search.step(oracle, batch)
    deploy(search, oracle)
    last = objective.loss(model(batch[0]), batch[1])
    assert torch.isfinite(last)
    assert oracle.ledger.forwards == oracle.ledger.evaluations >= 600  # one forward is one solution
    if strategy == "random_search":  # it keeps what it has, so that it cannot become worse
        assert last <= first


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_gradient_is_refused(problem, tmp_path):
    config = [
        "tracking=none",
        f"dataset={problem}",
        "model=solution",
        f"objective={PROBLEMS[problem]}",
        "strategy=adam",
        "dataset.time_limit=0",
    ]
    with pytest.raises(ConfigError, match=r"needs a gradient and the objective .* has none"):
        run(*config, directory=tmp_path)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_ends_near_the_optimum_and_tells_its_solution(name, tmp_path):
    summary = run("tracking=none", f"experiment={name}", *SMALL[name], *QUICK, directory=tmp_path).summary
    told = json.loads((tmp_path / "solution.json").read_text())
    assert summary["test/proven"] == 1
    assert 0 <= summary["test/gap"] + 1e-6 < 0.2
    assert told["loss"] == pytest.approx(summary["test/loss"])
    assert len(told) > 1


def test_an_experiment_takes_another_strategy():
    config = compose("experiment=tsp", "strategy=openai_es")
    assert config["strategy"]["name"] == "openai_es"


def test_there_is_an_experiment_for_each_problem():
    assert sorted(PROBLEMS) == EXPERIMENTS


def test_the_solution_of_something_else_is_not_told(tmp_path):
    config = [
        "tracking=none",
        "dataset=iris",
        "model=linear",
        "strategy=adam",
        "+trainer.callbacks.solution_file={}",
        *QUICK,
    ]
    with pytest.raises(ConfigError, match="CrossEntropy has none to tell: leave it out of trainer"):
        run(*config, directory=tmp_path)


@pytest.mark.slow
def test_from_the_command_line(tmp_path):
    command = "dataset=tsp model=solution objective=tour_length strategy=permutation_annealing tracking=none"
    quick = ["dataset.cities=20", "budget.forwards=1e4", "trainer.enable_progress_bar=false"]
    done = subprocess.run(
        [sys.executable, "-m", "hybridopt", *command.split(), *quick],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "gap" in done.stdout
    assert "proven" in done.stdout
