"""Every study that is installed runs from the command line to its verdict, in its smallest profile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hybridopt.composition import registry
from hybridopt.study.finding import find_study

STUDIES = registry.names("study")


@pytest.mark.slow
def test_all_run_in_their_smallest_profile(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hybridopt.programs.study", "run", "all", "profile=smoke", "tracking=none"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    unfinished = [line for line in ran.stdout.splitlines() if line.endswith(": unfinished") or "failed: " in line]
    assert ran.returncode == 0, "\n".join(unfinished) or ran.stderr[-2000:]
    pages = {path.stem for path in tmp_path.glob("multirun/*/study/*.md")}
    assert pages == set(STUDIES)


@pytest.mark.parametrize("name", STUDIES)
def test_names_and_numbers_are_of_one_study_each(name: str) -> None:
    number = find_study(name).number
    others = [other for other in STUDIES if other != name and find_study(other).number == number]
    assert number is None or not others
