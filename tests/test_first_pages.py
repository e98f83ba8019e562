"""The first pages are true: a short README that leads on, commands of docs/start.md and docs/command-line.md."""

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
START, COMMAND_LINE = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("start.md", "command-line.md"))
QUICK = ("budget.forwards=2e4", "budget.marks=2", "dataset.batch_size=32", "trainer.enable_progress_bar=false")
SHOWS = ("--help", "--cfg", "-sc")
NETS = """
from torch import nn

class ResNet(nn.Sequential):
    def __init__(self, width: int = 16):
        super().__init__(nn.Flatten(), nn.LazyLinear(width), nn.ReLU(), nn.Linear(width, 10))
"""


def commands(page: str, *programs: str) -> list[list[str]]:
    """The words of the page's commands of some programs."""
    found = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    lines = [shlex.split(line) for block in found for line in block.splitlines()]
    return [line for line in lines if line[0] in programs]


def quick(line: list[str]) -> list[str]:
    """The same command with little to do; what only shows, and what resumes, is left as it is."""
    if any(part in SHOWS or part.startswith("resume=") for part in line):
        return line
    given = {part.partition("=")[0] for part in line}
    fewer = [part if not part.startswith("seeds=") else "seeds=1" for part in line]
    small = [part for part in QUICK if part.partition("=")[0] not in given or part.startswith("budget.forwards")]
    return [*fewer, *small]


# -- the README -------------------------------------------------------------------------------------------------------


def test_the_readme_is_short_and_begins_with_what_it_is_and_one_picture() -> None:
    assert len(README.splitlines()) <= 120
    title, what, picture, caption = README.split("\n\n")[:4]
    assert title == "# hybridopt"
    assert what.startswith("Train this network")
    assert re.fullmatch(r"!\[.+\]\(docs/\S+\)", picture)
    assert re.fullmatch(r"\*[^*]+\*", caption)


def test_what_it_leads_to_is_there_and_its_commands_are_scripts() -> None:
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)", README) if ":" not in target]
    assert [target for target in targets if not (ROOT / target).exists()] == []
    run, sweep = commands(README, "scripts/run")
    assert run in commands(START, "scripts/run")
    assert sweep[1:] in [line[1:] for line in commands(START, "hybridopt")]
    assert commands(README, "scripts/test") == [["scripts/test"]]


def test_the_scripts_start_at_once_when_installed() -> None:
    """Both are what the README's two commands call; here the environment is installed already."""
    if not (ROOT / ".venv" / "installed-report").exists():
        pytest.skip("installed by hand, not by scripts/run or scripts/test")
    command = [ROOT / "scripts" / "run", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT)
    assert "strategy: adam" in done.stdout
    assert done.stderr == ""


# -- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path) -> None:
    """Those of both pages, each once."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(80, 3)), columns=["size", "age", "rooms"])
    frame.assign(price=2 * frame["size"] + frame["age"]).to_csv(tmp_path / "mine.csv", index=False)
    kind = np.arange(90) % 3
    birds = pd.DataFrame({"wing": 60 + 10 * kind + random.normal(size=90), "weight": 5 + 3 * kind})
    birds.assign(kind=np.array(["ant", "bee", "cicada"])[kind]).to_csv(tmp_path / "birds.csv", index=False)
    (tmp_path / "my_nets.py").write_text(NETS)
    lines = [["hybridopt", *line[1:]] for line in commands(START + COMMAND_LINE, "hybridopt", "scripts/run")]
    resumed = {part.removeprefix("resume=") for line in lines for part in line if part.startswith("resume=")}
    first = [["hybridopt", "strategy=adam", f"hydra.run.dir={directory}"] for directory in resumed]
    typed = dict.fromkeys(tuple(quick(line)) for line in [*first, *lines])
    output = run_all(list(typed), tmp_path)
    assert output.count("directory  ") == sum(not set(SHOWS) & set(line) for line in typed) >= 20
    assert len(re.findall(r"^3 jobs: 3 ran$", output, re.MULTILINE)) == sum("-m" in line for line in typed) == 2
    assert (tmp_path / "mlflow.db").exists()
    assert_use(tmp_path)
    assert_review(tmp_path)


def assert_use(directory: Path) -> None:
    """The blocks of Python tell the labels of new rows by the network of a run."""
    text = "\n".join(re.findall(r"```python\n(.*?)```", START, re.DOTALL))
    command = [sys.executable, "-W", "ignore", "-c", text]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['ant', 'cicada']\n"


def assert_review(directory: Path) -> None:
    """The commands that the page gives report on what was tracked, and open the UI on it."""
    for line in commands(COMMAND_LINE, "hybridopt-report", "hybridopt-sync"):
        done = subprocess.run(
            [installed(line[0]), *line[1:]], cwd=directory, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        assert done.returncode == 0, done.stderr
    (line,) = commands(COMMAND_LINE, "hybridopt-ui")
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


def test_every_group_in_the_table_is_complete() -> None:
    from hybridopt.composition import registry
    from hybridopt.composition.kinds import PARTS

    table = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", COMMAND_LINE, re.MULTILINE))
    for kind in PARTS:
        options = table[kind]
        shown = set(re.findall(r"`(\w+)`", options))
        ours = {name for name in registry.names(kind) if registry.find(kind, name).distribution == "hybridopt"}
        assert shown == ours, kind
