"""The tutorials are true: what they build is there, and their commands run as they say."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest
from jobs import LIMIT
from typed import run_all

ROOT = Path(__file__).parent.parent
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("tutorial", "tutorial-study")}
SAID = {  # what the commands of a page must show
    "tutorial": ["total", "Value 'wide' of type 'str' could not be converted to Float"],
    "tutorial-study": ["momentum: ", "A study fixes what it runs before it runs"],
}
EXAMPLE = ROOT / "plugins" / "hybridopt-example"
FILE = re.compile(r"`([\w/]+\.(?:py|toml))`(?:(?!\n\n).)*:\n\n```(?:python|toml)\n(.*?)```", re.DOTALL)
COMMANDS = re.compile(r"```bash( fails)?\n(.*?)```", re.DOTALL)
QUICK = ["trainer.enable_progress_bar=false"]


def files(page: str) -> dict[str, str]:
    """The files that a page shows, by path."""
    return dict(FILE.findall(PAGES[page]))


def commands(page: str) -> list[tuple[list[str], bool]]:
    """The commands in order, and whether they fail."""
    blocks = COMMANDS.findall(PAGES[page])
    return [(shlex.split(line), bool(fails)) for fails, block in blocks for line in block.splitlines()]


def test_it_shows_the_example_package_to_the_letter() -> None:
    shown = files("tutorial")
    here = [path for path in EXAMPLE.rglob("*.py") if not path.name.startswith("test_one_plus")]
    assert set(shown) == {str(path.relative_to(EXAMPLE)) for path in here} | {"pyproject.toml"}
    for path, text in shown.items():
        own = (EXAMPLE / path).read_text(encoding="utf-8")
        assert text == re.sub('"hybridopt>=[^"]*"', '"hybridopt"', own), path  # ours are released with hybridopt


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A virtual environment that sees everything installed here but the example, and forgets what it is taught."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    finders = "\n".join(
        f"import site; site.addsitedir({path!r})" for path in sys.path if path.endswith("site-packages")
    )
    (site / "outside.pth").write_text(finders + "\n")
    variables = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **variables}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_run(page: str, tmp_path: Path, environment: dict[str, str]) -> None:
    package = tmp_path / "package"
    for path, text in files(page).items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(text, encoding="utf-8")
    groups = groupby(commands(page), key=lambda each: (each[0][0], each[1]))
    ran = [run(*group, [line for line, _ in each], package, environment) for group, each in groups]
    for said in SAID[page]:
        assert any(said in output for output in ran), said


def run(program: str, fails: bool, lines: list[list[str]], folder: Path, environment: dict[str, str]) -> str:
    """Neighbours of one program as the reader types them; what takes the network, or a bar, is taken off.

    The checks of the kit run once: hybridopt-plugins runs all of them, and pytest those that it finds by a word.
    """
    python = environment["PATH"].partition(os.pathsep)[0] + "/python"
    if program in IN_ONE_PROCESS and not fails:
        jobs = program == "hybridopt"
        lines = [[*line, *QUICK] if jobs and "--cfg" not in line else line for line in lines]
        return run_all(lines, folder, environment, python)
    output = ""
    for line in lines:
        command = [python, "-m", MODULES[program], *line[1:], *MORE.get(program, [])]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        output += done.stdout + done.stderr
        assert (done.returncode != 0) == fails, f"{shlex.join(line)} ended with {done.returncode}:\n{output[-3000:]}"
    return output


IN_ONE_PROCESS = ("hybridopt", "hybridopt-study")
MORE = {"pip": ["--no-deps", "--no-build-isolation", "--quiet"], "pytest": ["-k", "budget"]}
MODULES = {
    "pip": "pip",
    "pytest": "pytest",
    "hybridopt": "hybridopt",
    "hybridopt-plugins": "hybridopt.programs.plugins",
    "hybridopt-study": "hybridopt.programs.study",
}
