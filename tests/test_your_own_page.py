"""The page on networks and data of one's own is true: its blocks run one after the other, in one directory."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import LIMIT

PAGE = Path(__file__).parent.parent / "docs" / "your-own.md"
BLOCKS = re.findall(r"```(python|bash)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each program of the page prints; a block that begins with a file's name is that file."""
    directory = tmp_path_factory.mktemp("own")
    programs, scripts = [], []
    for language, text in BLOCKS:
        name = re.match(r"# (\w+\.py)\n", text)
        if name:
            (directory / name[1]).write_text(text)
        elif language == "python":
            scripts.append(text)
        else:
            programs += [[sys.executable, "-m", "hybridopt", *shlex.split(line)[1:]] for line in text.splitlines()]
    programs.insert(0, [sys.executable, "-W", "ignore", "-c", "\n".join(scripts)])
    told = [_run(program, directory) for program in programs]
    assert (directory / "tagged" / "model" / "code" / "my_nets.py").exists()
    return told


def _run(program: list[str], directory: Path) -> str:
    done = subprocess.run(program, cwd=directory, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_scripts(said: list[str]) -> None:
    tested, refused = [line for line in said[0].splitlines() if line.startswith(("{", "The model"))]
    assert float(re.search(r"'test/accuracy': ([\d.]+)", tested)[1]) > 0.6
    assert refused.startswith("The model Flat gives a tensor (B) for targets that are a tensor (B)")


def test_the_commands(said: list[str]) -> None:
    job, sweep, evolved, tuned, table = said[1:]
    for shown in (job, evolved, tuned):
        assert "test" in shown
    assert "openai_es" in sweep
    assert "accuracy" in table
