"""Whole runs, as users type them: strategies of each kind, adapters, results that load again, and what is imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import mlflow.pytorch
import pytest
import torch
from pytorch_lightning import Callback
from transformers import AutoModelForSequenceClassification

from hybridopt import ConfigError, build, compose, run
from hybridopt.composition import registry
from hybridopt.errors import Interrupted
from hybridopt.execution import trainers
from hybridopt.execution.checkpoint import FILE

EXPERIMENTS = sorted(
    file.name.removesuffix(".yaml") for file in files("hybridopt_transformers.conf.experiment").iterdir()
)
QUIET = ["trainer.enable_progress_bar=false", "budget.marks=2"]
ADAM = ["strategy=adam", "strategy.lr=0.01"]

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")


def texts(made, checkpoint, *more):
    """The settings of the reviews."""
    return ["dataset=tokenised", f"dataset.path={made.path}", f"dataset.tokeniser={checkpoint}", *more, *QUIET]


def classifier(made, *more):
    return ["model=transformer", f"model.checkpoint={made.encoder}", *texts(made, made.encoder), *more]


def chooser(made, *more, answers="[terrible,great]"):
    prompt = 'dataset.template="{text} It was"'
    model = ["model=causal_transformer", f"model.checkpoint={made.decoder}", f"model.answers={answers}"]
    return [*model, *texts(made, made.decoder, prompt), *more]


def weights(directory):
    """The network's weights in a run's checkpoint."""
    state = torch.load(directory / FILE, weights_only=True)["state_dict"]
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def test_adam_learns_to_classify(made, tmp_path):
    job = classifier(made, *ADAM, "tracking=none", "budget.forwards=1e4")
    assert run(*job, directory=tmp_path).summary["test/accuracy"] > 0.9


@pytest.mark.parametrize(("answers", "lora"), [("[terrible,great]", "null"), ("[awful plot,bright]", "4")])
def test_adam_learns_which_answer_is_right(made, tmp_path, answers, lora):
    job = chooser(made, f"model.lora={lora}", *ADAM, "tracking=none", "budget.forwards=1e4", answers=answers)
    assert run(*job, directory=tmp_path).summary["test/accuracy"] > 0.6


@pytest.mark.parametrize(
    ("kind", "strategy"),
    [
        (classifier, ["strategy=mezo"]),
        (classifier, ["strategy=openai_es", "strategy.popsize=12", "oracle.mode=vmap"]),
        (chooser, ["strategy=openai_es", "strategy.popsize=12"]),
        (chooser, ["strategy=forward_gradient"]),
    ],
)
def test_other_strategies_move_the_adapters_and_the_head_alone(made, tmp_path, kind, strategy):
    job = kind(made, "model.lora=2", *strategy, "tracking=none", "budget.forwards=1500")
    before = build(compose(*job)).trial.model.state_dict()
    after = run(*job, directory=tmp_path).module.state_dict()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert any("lora_B" in name for name in moved)
    assert all("lora_" in name or "classifier" in name for name in moved)


class SignalAt(Callback):
    """Sends this process a signal once a share of the budget is spent, as a user at the keyboard would."""

    def __init__(self, share):
        self.share = share

    def on_train_batch_start(self, trainer, trial, *args):
        if trial.ledger.progress >= self.share:
            self.share = 2.0
            os.kill(os.getpid(), signal.SIGINT)


def test_a_resumed_run_equals_one_that_was_never_stopped(made, tmp_path, monkeypatch):
    job = classifier(made, "model.lora=2", *ADAM, "tracking=none", "budget.forwards=3000")
    run(*job, directory=tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(trainers, "BudgetBar", lambda: SignalAt(0.4))
        with pytest.raises(Interrupted):
            run(*job, "trainer.enable_progress_bar=true", directory=tmp_path / "parts")
    run(f"resume={tmp_path / 'parts'}")
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_what_a_run_keeps_loads_again(made, tmp_path, monkeypatch):
    """As the weights of a next run, as a folder of the library with merged adapters, and as an MLflow model."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    saved = tmp_path / "saved"
    job = classifier(made, "model.lora=2", "strategy=adam", "strategy.lr=0.003")
    kept = f"+trainer.callbacks.save_pretrained.folder={saved}"
    result = run(*job, "budget.forwards=3000", kept, directory=tmp_path / "first")
    own = [f"model.checkpoint={saved}", f"dataset.tokeniser={saved}"]
    for overrides in (
        [*job, f"weights={tmp_path / 'first'}"],
        [*classifier(made), *own, "strategy=adam"],
        [*classifier(made), "model.pretrained=false", f"weights={saved}", "weights.prefix=network", "strategy=adam"],
    ):
        parts = build(compose(*overrides))
        assert loss(parts.trial.model, parts.datamodule) == pytest.approx(result.summary["test/loss"], abs=1e-5)
    theirs = AutoModelForSequenceClassification.from_pretrained(saved)
    assert not any("lora" in name for name in theirs.state_dict())
    (model,) = (tmp_path / "first").rglob("MLmodel")
    loaded = mlflow.pytorch.load_model(str(model.parent))
    ids = torch.tensor([[2, 8, 9, 10, 11, 12, 3, 0, 0], [2, 8, 9, 3, 0, 0, 0, 0, 0]])
    mask = (ids > 0).long()
    inputs = {"input_ids": ids, "attention_mask": mask}
    torch.testing.assert_close(loaded(inputs), result.module.eval()(inputs), rtol=1e-4, atol=1e-5)


def loss(model, data):
    """The cross-entropy of the test set."""
    inputs, targets = data.sets["test"]
    with torch.no_grad():
        return torch.nn.functional.cross_entropy(model.eval()(inputs), targets).item()


def test_the_folder_of_a_network_of_another_kind(tmp_path):
    saved = f"+trainer.callbacks.save_pretrained.folder={tmp_path / 'saved'}"
    with pytest.raises(ConfigError, match="save_pretrained writes networks of model=transformer"):
        run("model=linear", "strategy=adam", "tracking=none", "budget.forwards=100", saved, directory=tmp_path / "run")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_composes(name):
    config = compose(f"experiment={name}")
    assert registry.find("model", config["model"]["name"]).distribution == "hybridopt-transformers"


LIGHT = """
import sys
from hybridopt.programs import run
from hybridopt.programs.plugins import cli
from hybridopt import compose

def call(main, *arguments):
    sys.argv = ["hybridopt", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code

call(run.main, "--help")
for arguments in (["list"], ["show", "model", "transformer"], ["show", "dataset", "tokenised"]):
    call(cli.main, *arguments)
compose("model=causal_transformer", "model.checkpoint=a", "model.answers=[b,c]", "dataset=tokenised", "dataset.path=d",
        "dataset.tokeniser=a")
heavy = {"transformers", "tokenizers", "peft", "datasets", "torch"} & set(sys.modules)
assert not heavy, heavy
"""


def test_listing_and_composing_import_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "lora_targets" in done.stdout
    assert "template" in done.stdout
