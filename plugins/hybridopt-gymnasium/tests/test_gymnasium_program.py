"""The program as users run it: refusals, experiments, and a run that is interrupted."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from hybridopt_gymnasium import conf
from pytorch_lightning import Callback

from hybridopt import ConfigError, build, compose, names, run
from hybridopt.errors import Interrupted
from hybridopt.execution import trainers
from hybridopt.execution.checkpoint import FILE

EXPERIMENTS = sorted(path.stem for path in (Path(conf.__file__).parent / "experiment").glob("*.yaml"))
PLAYS = ["dataset=cartpole", "objective=episode_return", "model=linear", "tracking=none"]
QUIET = ["tracking=none", "trainer.enable_progress_bar=false"]


def curve(directory):
    """What the journal says, without what depends on the clock."""
    rows = [json.loads(line) for line in (directory / "journal.jsonl").read_text().splitlines()]
    points = [(row["step"], row["values"]) for row in rows if row["kind"] == "metrics"]
    timed = ("cost/seconds", "cost/wall_seconds", "cost/peak_memory_mb")
    return [(step, {name: value for name, value in values.items() if name not in timed}) for step, values in points]


class SignalAt(Callback):
    """Sends this process a signal once a share of the budget is spent, as a user at the keyboard would."""

    def __init__(self, share):
        self.share = share

    def on_train_batch_start(self, trainer, trial, *args):
        if trial.ledger.progress >= self.share:
            self.share = 2.0
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(("dataset", "strategy"), [("cartpole", "openai_es"), ("pendulum", "simulated_annealing")])
def test_a_resumed_run_equals_one_that_was_never_stopped(strategy, dataset, tmp_path, monkeypatch):
    settings = ["model=linear", "objective=episode_return", "budget.forwards=4000", "budget.marks=4"]
    episodes = ["dataset.max_steps=40", "dataset.episodes=2", "dataset.val_episodes=3", "dataset.test_episodes=3"]
    more = ["strategy.popsize=6"] if strategy == "openai_es" else ["strategy.moves_per_step=7", "strategy.probes=5"]
    config = [f"dataset={dataset}", f"strategy={strategy}", *settings, *episodes, *more, *QUIET]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(*config, directory=whole)
    with monkeypatch.context() as patch:
        patch.setattr(trainers, "BudgetBar", lambda: SignalAt(0.4))
        with pytest.raises(Interrupted):
            run(*config, "trainer.enable_progress_bar=true", directory=parts)
    run(f"resume={parts}")
    assert curve(whole) == curve(parts)
    states = [torch.load(directory / FILE, weights_only=True)["state_dict"] for directory in (whole, parts)]
    tensors = [{name: value for name, value in state.items() if isinstance(value, torch.Tensor)} for state in states]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(value, tensors[1][name]) for name, value in tensors[0].items())


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["strategy=adam"], "The strategy Adam needs a gradient and the objective EpisodeReturn has none"),
        (["strategy=lottery_ticket"], "needs a gradient and the objective EpisodeReturn has none"),
        (["strategy=openai_es", "objective=cross_entropy"], "CrossEntropy is made for classification, .* a control"),
        (["strategy=openai_es", "dataset=digits"], "plays an environment, but the data set is a classification"),
        (["strategy=openai_es", "dataset=gymnasium", "dataset.id=CartPol-v1"], "Did you mean 'CartPole-v1'"),
    ],
)
def test_what_cannot_work_is_refused_before_training(overrides, says, tmp_path):
    with pytest.raises(ConfigError, match=says):
        run(*PLAYS, *overrides, directory=tmp_path)
    assert not list(tmp_path.iterdir())


def test_kwargs_are_typed_at_the_command_line():
    settings = ["dataset=gymnasium", "dataset.id=Pendulum-v1", "+dataset.kwargs.g=3.7", "objective=episode_return"]
    parts = build(compose(*settings, "strategy=openai_es", *QUIET))
    assert parts.datamodule.spec.make().unwrapped.g == 3.7


def test_there_are_experiments():
    assert {"cartpole_openai_es", "cartpole_cma", "cartpole_annealing"} <= set(EXPERIMENTS)


@pytest.fixture(params=EXPERIMENTS)
def planned(request):
    """The overrides of each experiment."""
    if request.param == "cartpole_cma" and "cma_es" not in names("strategy"):
        pytest.skip("hybridopt-cma is not installed")
    return [f"experiment={request.param}", *QUIET]


def test_an_experiment_composes_and_its_parts_fit(planned):
    assert build(compose(*planned)).datamodule.spec.task == "control"


@pytest.mark.slow
@pytest.mark.parametrize("planned", ["cartpole_openai_es"], indirect=True)
def test_cartpole_is_solved(planned, tmp_path):
    """As the README says, at seed 0 and with the whole budget."""
    assert run(*planned, "budget.marks=10", directory=tmp_path).summary["test/return"] >= 475
