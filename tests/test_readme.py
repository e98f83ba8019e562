"""The README is true: its commands run, its strategy works."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import LIMIT
from typed import run_all

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICK = ("budget.forwards=2e4", "budget.marks=2", "dataset.batch_size=32", "trainer.enable_progress_bar=false")
NETS = """
from torch import nn

class ResNet(nn.Sequential):
    def __init__(self, width: int = 16):
        super().__init__(nn.Flatten(), nn.LazyLinear(width), nn.ReLU(), nn.Linear(width, 10))
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands(program: str) -> list[list[str]]:
    lines = [shlex.split(line) for block in blocks("bash") for line in block.splitlines()]
    return [line for line in lines if line and line[0] == program]


def quick(line: list[str]) -> list[str]:
    """The same command with little to do; what only shows, and what resumes, is left as it is."""
    if any(part in ("--help", "-sc") or part.startswith("resume=") for part in line):
        return line
    given = {part.partition("=")[0] for part in line}
    small = [part for part in QUICK if part.partition("=")[0] not in given or part.startswith("budget.forwards")]
    return [*line, *small]


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(80, 3)), columns=["size", "age", "rooms"])
    frame.assign(price=2 * frame["size"] + frame["age"]).to_csv(tmp_path / "mine.csv", index=False)
    (tmp_path / "my_nets.py").write_text(NETS)
    lines = commands("hybridopt")
    resumed = next(part for line in lines for part in line if part.startswith("resume="))
    first = ["hybridopt", "strategy=adam", f"hydra.run.dir={resumed.removeprefix('resume=')}"]
    output = run_all([quick(line) for line in [first, *lines]], tmp_path)
    assert output.count("$ hybridopt") == len(lines) + 1
    assert output.count("total") >= len(lines) - 1  # all but --help and the sweep end in a table of their own
    assert "15 jobs: 15 ran" in output
    assert (tmp_path / "mlflow.db").exists()
    assert_review(tmp_path)


def assert_review(directory: Path) -> None:
    """The commands that the README gives report on what was tracked, and open the UI on it."""
    for program in ("hybridopt-report", "hybridopt-sync"):
        (line,) = commands(program)
        done = subprocess.run(
            [installed(program), *line[1:]], cwd=directory, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        assert done.returncode == 0, done.stderr
    (line,) = commands("hybridopt-ui")
    with subprocess.Popen(
        [installed("hybridopt-ui"), *line[1:], "--port", "0"], cwd=directory, stdout=subprocess.PIPE, text=True
    ) as served:
        try:
            addresses = dict(served.stdout.readline().split() for _ in range(4))
            assert addresses.keys() == {"curves", "jobs", "sweep", "report"}
            address = addresses["curves"]
            assert "viewStateShareKey" in address
            with urllib.request.urlopen(address, timeout=LIMIT) as answer:
                assert "MLflow" in answer.read().decode()
        finally:
            served.send_signal(signal.SIGINT)


def installed(program: str) -> str:
    """A program of this environment."""
    return str(Path(sys.executable).with_name(program))


@pytest.mark.slow
def test_the_sweeps_of_the_docs_are_sweeps(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    found = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    lines = [shlex.split(line) for block in found for line in block.splitlines()]
    small = ["budget.forwards=2e4", "budget.marks=2", "seeds=1", "sweep.preview=true"]
    wanted = [[part for part in line if part.split("=")[0] not in ("seeds", "sweep.preview")] + small for line in lines]
    output = run_all(wanted, tmp_path)
    assert output.count("nothing was run") == len(lines) >= 5
    assert not (tmp_path / "multirun").exists()


def test_the_strategy_in_one_file_works(tmp_path: Path) -> None:
    (code,) = (block for block in blocks("python") if "class CoinFlip" in block)
    (line,) = (block for block in blocks("toml") if "coin_flip" in block)
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "coin_flip.py").write_text(code)
    info = tmp_path / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    name, target = re.search(r'(\w+) = "(.+)"', line).groups()
    (info / "entry_points.txt").write_text(f"[hybridopt.strategies]\n{name} = {target}\n")
    job = ["hybridopt", "strategy=coin_flip", "strategy.sigma=0.1", "tracking=none"]
    assert "total" in run_all([quick(job)], tmp_path, {"PYTHONPATH": str(tmp_path)})


def test_the_scripts_start_at_once_when_installed() -> None:
    """Both are what the README's two commands call; here the environment is installed already."""
    if not (ROOT / ".venv" / "installed-report").exists():
        pytest.skip("installed by hand, not by scripts/run or scripts/test")
    command = [ROOT / "scripts" / "run", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT)
    assert "strategy: adam" in done.stdout
    assert done.stderr == ""


def test_every_group_in_the_table_is_complete() -> None:
    from hybridopt.composition import registry

    for kind, options in re.findall(r"^\| `(\w+)` \| (.+?) \|$", README, re.MULTILINE):
        shown = set(re.findall(r"`(\w+)`", options))
        ours = {name for name in registry.names(kind) if registry.find(kind, name).distribution == "hybridopt"}
        assert shown == ours, kind
