"""Whole runs: strategies of both kinds learn from the layout of MNIST, and the experiments compose."""

from importlib.resources import files

import pytest
import torch
from hybridopt_huggingface.mnist import mnist
from omegaconf import OmegaConf
from pytorch_lightning import Trainer

from hybridopt import Budget, Trial, compose
from hybridopt.composition import building, registry

EXPERIMENTS = sorted(
    file.name.removesuffix(".yaml") for file in files("hybridopt_huggingface.conf.experiment").iterdir()
)


def trained(data, model, strategy, forwards):
    """The validation accuracy after a run."""
    torch.manual_seed(0)
    network = building.build("model", model, spec=data.spec)
    objective = building.build("objective", {"name": "cross_entropy"}, spec=data.spec)
    trial = Trial(network, objective, building.build("strategy", strategy), Budget(forwards=forwards, marks=4))
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    Trainer(**Trial.trainer_settings, **quiet, enable_checkpointing=False).fit(trial, datamodule=data)
    inputs, targets = zip(*data.val_dataloader(), strict=True)
    with torch.no_grad():
        guess = torch.cat([network(part) for part in inputs]).argmax(1)
    return (guess == torch.cat(targets)).float().mean().item()


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_gradient_learns_the_digits(mnist_folder, in_memory):
    data = mnist(str(mnist_folder), batch_size=64, in_memory=in_memory)
    assert trained(data, {"name": "cnn", "channels": [4, 8], "hidden": 32}, {"name": "adam", "lr": 0.01}, 20_000) > 0.7


def test_a_search_learns_the_digits(mnist_folder):
    data = mnist(str(mnist_folder), batch_size=64)
    assert trained(data, {"name": "linear"}, {"name": "openai_es"}, 400_000) > 0.5


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_composes(name):
    config = compose(f"experiment={name}")
    assert registry.find("dataset", config["dataset"]["name"]).distribution == "hybridopt-huggingface"


@pytest.mark.parametrize(
    ("override", "setting", "value"),
    [
        ("dataset.kinds={zip: category}", "kinds", {"zip": "category"}),
        ("dataset.kinds=text", "kinds", "text"),
        ("dataset.files={train: old.csv, test: new.csv}", "files", {"train": "old.csv", "test": "new.csv"}),
        ("dataset.train_split='train[:80%]'", "train_split", "train[:80%]"),
        ("dataset.inputs=[a,b]", "inputs", ["a", "b"]),
        ("dataset.size=[14,14]", "size", [14, 14]),
    ],
)
def test_settings_on_a_command_line(override, setting, value):
    config = compose("dataset=huggingface", override)
    assert OmegaConf.to_container(config.dataset)[setting] == value
