"""Commands that are killed, and typed again, end as if nothing had happened; ``python tests/faults`` kills more."""

from __future__ import annotations

import pytest
from chains import Case, Ground, assert_equal
from kills import client, write
from places import QUICK, UNEXPORTED, of_run

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")


def test_a_run_that_is_killed_again_and_again(ground: Ground) -> None:
    """Where it is made, in a checkpoint's write, before its result and after it, and before MLflow knows of its end."""
    points = [
        write("run.json", "after"),
        write("last.ckpt", "half", 2),
        write("result.json", "after"),
        client("set_terminated", "before"),
    ]
    assert_equal(ground, of_run("es_then_adam", UNEXPORTED, "budget.marks=4", "budget.forwards=3e4"), points)


def test_a_sweep_that_is_killed_again_and_again(ground: Ground) -> None:
    """Where a job's run is made, and in the table of the sweep."""
    arguments = ["-m", *QUICK, UNEXPORTED, "budget.forwards=3e3", "strategy=adam", "seed=0,1", "sweep.name=s"]
    case = Case("sweep", (*arguments, "sweep.report=false"))
    points = [client("create_run", "after", 2), write("jobs.csv", "half")]
    assert_equal(ground, case, points)
