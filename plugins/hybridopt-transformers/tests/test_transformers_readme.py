"""The README's commands do what it says: its script is run, and what they name is built."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hybridopt import build, compose

PACKAGE = Path(__file__).parents[1]
BLOCKS = re.findall(r"```bash\n(.*?)```", (PACKAGE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
COMMANDS = [shlex.split(line) for block in BLOCKS for line in block.splitlines() if line.startswith("hybridopt ")]
LOCAL = [command for command in COMMANDS if any("docstrings" in part for part in command)]
HUB = [command for command in COMMANDS if command not in LOCAL]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the README's script has been run, and a network stands for the one that its first command trains."""
    place = tmp_path_factory.mktemp("readme")
    script = PACKAGE / "scripts" / "make_docstrings.py"
    done = subprocess.run(
        [sys.executable, script, "docstrings"], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "1800 passages" in done.stdout
    shutil.copytree(place / "docstrings" / "tiny", place / "docstrings" / "pretrained")
    return place


def overrides(command):
    """Of a sweep over a setting, the first value."""
    kept = [part for part in command[1:] if part != "-m" and not part.startswith(("seeds=", "seed="))]
    return [part if "[" in part else part.partition(",")[0] for part in kept]


def test_there_are_commands():
    assert len(LOCAL) >= 2
    assert len(HUB) >= 4


@pytest.mark.parametrize("command", LOCAL, ids=" ".join)
def test_the_commands_on_folders_can_be_built(command, folder, monkeypatch):
    monkeypatch.chdir(folder)
    parts = build(compose(*overrides(command), "tracking=none", "trainer.enable_progress_bar=false"))
    assert parts.datamodule.spec.input_shape["input_ids"] == (32,)


@pytest.mark.parametrize("command", HUB, ids=" ".join)
def test_the_commands_on_the_hub_compose(command):
    assert compose(*overrides(command))["dataset"]["name"] == "tokenised"
