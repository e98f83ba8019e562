"""Objects of a user's own modules in place of plugins, ``model=my_nets:Net``, where she allows it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybridopt import build, compose, run
from hybridopt.errors import ConfigError, HybridoptError, PluginError
from hybridopt.execution.contents import contents, files

NETS = '''
"""A network, data and a strategy, as people have them."""
from pathlib import Path
Path("imported").touch()

import torch
from pytorch_lightning import LightningDataModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from hybridopt import Search


class Net(nn.Module):
    """Two layers."""

    def __init__(self, width: int = 8, activation=nn.ReLU, classes=3):
        super().__init__()
        self.layers = nn.Sequential(nn.LazyLinear(width), activation(), nn.Linear(width, classes))

    def forward(self, inputs):
        return self.layers(inputs)


made, WIDTH = Net(), 8  # what somebody might name instead of the class


class Data(LightningDataModule):
    def __init__(self, samples: int = 60):
        super().__init__()
        inputs = torch.randn(samples, 4, generator=torch.Generator().manual_seed(0))
        self.samples = TensorDataset(inputs, inputs[:, :3].argmax(1))

    def train_dataloader(self):
        return DataLoader(self.samples, batch_size=20, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.samples, batch_size=60)

    test_dataloader = val_dataloader


class Still(Search):
    def start(self, x0):
        self.register_buffer("x", x0)

    def ask(self):
        return self.x[None]

    def tell(self, population, losses):
        pass

    def recommend(self):
        return self.x
'''
ALLOWED = "instantiate_targets=true"
MINE = ("model=own_nets:Net", "dataset=own_nets:Data", "tracking=none", "budget.forwards=2e3", "budget.marks=2")


@pytest.fixture(autouse=True)
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file in the working directory, that says when it is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    (tmp_path / "own_nets.py").write_text(NETS)
    yield tmp_path / "own_nets.py"
    sys.modules.pop("own_nets", None)


def test_without_a_word_nothing_of_it_is_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="type instantiate_targets=true on the command line"):
        compose("model=own_nets:Net")
    assert not (tmp_path / "imported").exists()
    allowed = compose(*MINE, ALLOWED)  # which may read a signature by importing
    sys.modules.pop("own_nets", None)
    (tmp_path / "imported").unlink(missing_ok=True)
    for attempt in (lambda: build(allowed), lambda: run(allowed)):
        with pytest.raises(HybridoptError, match="type instantiate_targets=true"):
            attempt()
    assert not (tmp_path / "imported").exists()
    assert not (tmp_path / "outputs").exists()


def test_settings_are_those_of_the_signature(tmp_path: Path) -> None:
    config = compose(*MINE, "model.width=5", ALLOWED)
    assert dict(config.model) == {"name": "own_nets:Net", "width": 5, "classes": 3}  # what no config can hold stays
    with pytest.raises(ConfigError, match=r"There is no setting model\.widht.*Did you mean 'width'"):
        compose(*MINE, "model.widht=5", ALLOWED)
    with pytest.raises(ConfigError, match=r"model\.width"):
        compose(*MINE, "model.width=broad", ALLOWED)
    parts = build(config, instantiate_targets=True)
    assert parts.trial.model.layers[0].weight.shape == (5, 4)
    assert (tmp_path / "imported").exists()


@pytest.mark.parametrize("strategy", ["adam", "own_nets:Still"])
def test_a_job_of_ones_own_parts(strategy: str) -> None:
    settings = ["strategy=adam", "strategy.lr=0.03"] if strategy == "adam" else [f"strategy={strategy}"]
    result = run(*MINE, *settings, ALLOWED, "trainer.enable_progress_bar=false")
    assert result is not None
    assert result.metrics["test/accuracy"] > (0.5 if strategy == "adam" else 0)


def test_a_network_that_asks_for_the_shape_is_told_who_must_say_it() -> None:
    with pytest.raises(ConfigError, match=r"model=mlp is built for the shape of the data, which Data does not tell"):
        build(compose("model=mlp", "dataset=own_nets:Data", ALLOWED), instantiate_targets=True)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("own_net:Net", "There is no module own_net for model=own_net:Net"),
        ("own_nets:Nett", "The module own_nets has no class or function Nett. Did you mean 'Net'?"),
        ("own_nets:made", "own_nets:made is an object of the class Net already"),
        ("own_nets:WIDTH", "own_nets:WIDTH is an object of the class int already"),
        ("own_nets:DataLoader.x", "own_nets:DataLoader.x"),
        ("os:system", "blocklisted"),
        ("mlpp", "Did you mean 'mlp'?"),
    ],
)
def test_what_is_not_there(model: str, words: str) -> None:
    with pytest.raises(HybridoptError) as caught:
        build(
            compose(f"model={model}", "+model.command=true" if model == "os:system" else "seed=1", ALLOWED),
            instantiate_targets=True,
        )
    assert words in str(caught.value)


def test_a_module_that_fails_to_import(nets: Path) -> None:
    nets.write_text("import nothing_of_this_name\nNet = nothing_of_this_name.Net")
    with pytest.raises((ConfigError, PluginError), match=r"own_nets.*failed to import.*nothing_of_this_name"):
        compose("model=own_nets:Net", ALLOWED)


def test_what_stands_in_the_file_is_part_of_a_jobs_identity(nets: Path) -> None:
    from hybridopt.composition import targets
    from hybridopt.composition.compose import plain_values

    with targets.permitting(True):
        config = plain_values(compose(*MINE, ALLOWED))
        before = files(contents(config))
        nets.write_text(NETS.replace("nn.LazyLinear(width)", "nn.Linear(4, width)"))
        after = files(contents(config))
    assert before.keys() == after.keys() == {"model", "dataset"}
    assert before["model"] != after["model"]
