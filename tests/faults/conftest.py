"""What the tests of faults share; most of them take minutes, and are there when they are asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chains import Ground
from kills import load

ASKED = "HYBRIDOPT_FAULTS"  # rounds of kills at random; set to 1 or more, the files below are tests, too

LONG = ["test_damaged_runs.py", "test_each_kill.py", "test_full_disks.py", "test_killed_under_ray.py"]
collect_ignore = [] if os.environ.get(ASKED) else LONG


@pytest.fixture(scope="module")
def ground(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    load()
    return Ground(tmp_path_factory.mktemp("faults"), template)
