"""The program as users run it: experiments, interruptions, and hybrids."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from hybridopt_neat import conf
from pytorch_lightning import Callback

from hybridopt import build, compose, run
from hybridopt.errors import Interrupted
from hybridopt.execution import trainers
from hybridopt.execution.checkpoint import FILE

EXPERIMENTS = sorted(path.stem for path in (Path(conf.__file__).parent / "experiment").glob("*.yaml"))
QUIET = ["tracking=none", "trainer.enable_progress_bar=false"]
MOONS = ["dataset=moons", "dataset.batch_size=32", "model=genome_network", "model.output_activation=identity"]
NEAT = ["strategy=neat", "strategy.popsize=30"]
JOB = [*MOONS, *NEAT, *QUIET, "budget.forwards=20000", "budget.marks=4"]
WITH = {"neat_cartpole": "hybridopt-gymnasium"}  # what an experiment needs besides


def curve(directory):
    """What the journal says, without what depends on the clock."""
    rows = [json.loads(line) for line in (directory / "journal.jsonl").read_text().splitlines()]
    points = [(row["step"], row["values"]) for row in rows if row["kind"] == "metrics"]
    timed = ("cost/seconds", "cost/wall_seconds", "cost/peak_memory_mb")
    return [(step, {name: value for name, value in values.items() if name not in timed}) for step, values in points]


def weights(directory):
    state = torch.load(directory / FILE, weights_only=True)["state_dict"]
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def assert_same(one, other):
    assert curve(one) == curve(other)
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


class SignalAt(Callback):
    """Sends this process a signal once a share of the budget is spent, as a user at the keyboard would."""

    def __init__(self, share):
        self.share = share

    def on_train_batch_start(self, trainer, trial, *args):
        if trial.ledger.progress >= self.share:
            self.share = 2.0
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("share", [0.13, 0.5, 0.83])
def test_a_resumed_run_equals_one_that_was_never_stopped(share, tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(*JOB, directory=whole)
    with monkeypatch.context() as patch:
        patch.setattr(trainers, "BudgetBar", lambda: SignalAt(share))
        with pytest.raises(Interrupted):
            run(*JOB, "trainer.enable_progress_bar=true", directory=parts)
    run(f"resume={parts}")
    assert_same(whole, parts)


def test_the_seed_fixes_the_numbers(tmp_path):
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        run(*JOB, f"seed={seed}", directory=tmp_path / name)
    assert_same(tmp_path / "one", tmp_path / "two")
    assert curve(tmp_path / "one") != curve(tmp_path / "three")


def test_gradient_descent_goes_on_from_the_champion(tmp_path):
    phases = ["+strategy/phases@strategy.phases.grow=neat", "+strategy/phases@strategy.phases.tune=adam"]
    sizes = ["strategy.phases.grow.popsize=30", "strategy.phases.tune.lr=0.01", "budget.forwards=40000"]
    job = [*MOONS, "strategy=sequence", *phases, *sizes, *QUIET, "budget.marks=4"]
    summary = run(*job, directory=tmp_path).summary
    ends = [row["val/loss"] for _, row in curve(tmp_path) if "val/loss" in row]
    assert summary["final/val/loss"] < ends[1]  # the search ends at half of the budget


def skip_without_its_package(name):
    needed = WITH.get(name)
    if needed and not any(found.name == needed for found in importlib.metadata.distributions()):
        pytest.skip(f"experiment={name} needs {needed}, which is not installed")


def test_there_are_experiments():
    assert {"neat_xor", "neat_cartpole"} <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_composes_and_its_parts_fit(name):
    skip_without_its_package(name)
    parts = build(compose(f"experiment={name}", *QUIET))
    assert type(parts.trial.strategy).__name__ == "NEAT"


def test_the_experiment_on_xor_ends_when_it_is_solved(tmp_path):
    summary = run("experiment=neat_xor", *QUIET, directory=tmp_path).summary
    assert summary["test/loss"] <= 0.025
    assert summary["cost/forwards"] < 1e5


@pytest.mark.slow
def test_the_experiment_on_cartpole_solves_it(tmp_path):
    skip_without_its_package("neat_cartpole")
    summary = run("experiment=neat_cartpole", *QUIET, directory=tmp_path).summary
    assert summary["test/return"] >= 475
