"""Whole runs, as users type them; the README's commands; and what is imported when nothing is built."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hybridopt_timm.examples import RESNET
from hybridopt_timm.network import timm

from hybridopt import DataSpec, build, compose, run

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
COMMANDS = [shlex.split(line) for block in BLOCKS for line in block.splitlines() if line.startswith("hybridopt ")]
SMALL = ["model=timm", "model.architecture=resnet18", "+model.options={layers: [1,1,1,1], channels: [8,8,16,16]}"]
JOB = [*SMALL, "dataset=digits", "dataset.batch_size=64", "tracking=none", "trainer.enable_progress_bar=false"]


def test_adam_learns_the_digits(tmp_path):
    result = run(*JOB, "strategy=adam", "strategy.lr=0.01", "budget.forwards=4e4", "budget.marks=2", directory=tmp_path)
    assert result.summary["test/accuracy"] > 0.8


def test_a_search_is_normalised_by_its_batches(tmp_path):
    search = ["strategy=openai_es", "strategy.popsize=8", "budget.forwards=2e4", "budget.marks=2"]
    result = run(*JOB, *search, "oracle.batch_statistics=true", directory=tmp_path)
    assert result.module.bn1.running_mean.abs().max() > 0  # estimated for what was recommended
    assert result.summary["test/loss"] < 10


def test_weights_of_a_file(tmp_path):
    torch.manual_seed(5)
    network = timm(DataSpec((1, 8, 8), 10, "classification"), "resnet18", options=RESNET)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    found = build(compose(*JOB, "strategy=adam", f"weights={tmp_path / 'weights.pt'}")).trial.model
    assert all(map(torch.equal, found.state_dict().values(), network.state_dict().values()))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_readme_s_commands(command):
    overrides = [*command[1:], "tracking=none", "trainer.enable_progress_bar=false"]
    config = compose(*[part for part in overrides if part != "-m" and not part.startswith("seeds=")])
    assert config["model"]["name"] == "timm"
    if config["dataset"]["name"] == "digits" and not config["model"]["pretrained"]:
        assert build(config).trial.model is not None


LIGHT = """
import sys
from hybridopt.programs.plugins import cli
from hybridopt import compose

sys.argv = ["hybridopt-plugins", "show", "model", "timm"]
try:
    cli.main()
except SystemExit as end:
    assert not end.code, end.code
compose("model=timm", "model.architecture=resnet18")
assert not {"timm", "torch"} & set(sys.modules)
"""


def test_listing_and_composing_import_nothing_heavy(tmp_path):
    done = subprocess.run([sys.executable, "-c", LIGHT], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "architecture" in done.stdout
