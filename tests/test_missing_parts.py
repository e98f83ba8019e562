"""Where an extra is not installed, runs and sweeps finish without it, and what needs it says what to type."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hydra.errors import MissingConfigException
from packaging.requirements import Requirement

from hybridopt.composition.sentences import missing
from hybridopt.toolbox.extras import LAUNCHERS, PARTS

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"

# One after the other, in a process in which the modules cannot be found, nor the metadata of their packages.
PROGRAMS = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    def find_spec(name, *where):
        return None if name in {modules} else PathFinder.find_spec(name, *where)

    def find_distributions(*context):
        return (found for found in PathFinder.find_distributions(*context) if found.name not in {packages})

sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from hybridopt.programs import report, run, study, ui
for program, arguments in [
    (run, ["strategy=adam", "budget.forwards=2e3"]),
    (run, ["-m", "strategy=adam", "seeds=2", "budget.forwards=2e3", "sweep.name=bare"]),
    (report, []),
    (study, ["run", "report_errors", "profile=smoke"]),
    (ui, []),
]:
    sys.argv = [program.__name__, *arguments]
    print("====")
    try:
        program.main()
    except SystemExit as ended:
        print(ended.code or "")
    sys.stdout.flush()
"""
REPORT = 'matplotlib, scikit-posthocs and statsmodels: type pip install "hybridopt[report]"'


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each of the programs prints."""
    modules = [module for part in PARTS.values() for module in part]
    packages = [*PARTS["report"].values(), "Flask"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAMS.format(modules=modules, packages=packages)],
        cwd=tmp_path_factory.mktemp("bare"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.split("====\n")[1:]


def test_a_run_finishes_and_says_what_it_leaves_out(said: list[str]) -> None:
    assert "total" in said[0]
    assert 'review     pip install "hybridopt[ui]", then mlflow ui' in said[0]
    assert (
        said[0].count('picture    none, since matplotlib is not installed: type pip install "hybridopt[report]"') == 1
    )


def test_a_sweep_finishes_and_says_once_what_it_leaves_out(said: list[str]) -> None:
    assert "2 jobs: 2 ran" in said[1]
    assert said[1].count("report") == 2  # and in what to type
    assert f"report     none, since it needs {REPORT}" in said[1]


@pytest.mark.parametrize("launcher", sorted(LAUNCHERS))
def test_a_launcher_that_is_not_there_says_what_to_type(launcher: str) -> None:
    extra = LAUNCHERS[launcher]
    (package,) = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"][extra]
    absent = MissingConfigException("", f"hydra/launcher/{launcher}", ["hydra/launcher/basic"])
    assert missing(absent) == (
        f'hydra/launcher={launcher} needs {Requirement(package).name}: type pip install "hybridopt[{extra}]".'
    )


def test_what_needs_an_extra_says_what_to_type(said: list[str]) -> None:
    assert said[2] == f"The report needs {REPORT}.\n"
    assert said[3].startswith(f"A study needs {REPORT}.\n")
    assert said[4] == 'hybridopt-ui needs MLflow\'s server: type pip install "hybridopt[ui]".\n'
