"""The page on networks and data of one's own is true: its blocks run one after the other, in one directory."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import LIMIT
from typed import run_all

PAGE = Path(__file__).parent.parent / "docs" / "your-own.md"
BLOCKS = re.findall(r"```(python|bash)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the scripts of the page print, and each command; a block that begins with a file's name is that file."""
    directory = tmp_path_factory.mktemp("own")
    lines, scripts = [], []
    for language, text in BLOCKS:
        name = re.match(r"# (\w+\.py)\n", text)
        if name:
            (directory / name[1]).write_text(text)
        elif language == "python":
            scripts.append(text)
        else:
            lines += [shlex.split(line) for line in text.splitlines()]
    told = [_run([sys.executable, "-W", "ignore", "-c", "\n".join(scripts)], directory)]
    told += re.split(r"^\$ .*\n", run_all(lines, directory), flags=re.MULTILINE)[1:]
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
