"""Commands that are killed, and typed again, end as if nothing had happened; ``python tests/faults`` kills more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chains import Case, Ground, at_random
from kills import Point, client, load, write
from places import JOBLIBS, OF_EXPORT, OF_RUN, OF_SWEEP, QUICK, RANKS, SERIAL, of_run, runs

ROUNDS = int(os.environ.get("HYBRIDOPT_KILLS", "1"))  # of random chains, each of one to three kills
UNEXPORTED = "tracking.log_model=false"

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def ground(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    load()
    return Ground(tmp_path_factory.mktemp("faults"), template)


def assert_equal(ground: Ground, case: Case, planned: list) -> None:
    outcome = ground.chain(case, planned)
    assert not outcome.differences, "\n".join(outcome.differences)
    assert not outcome.left, "killed processes have left others running"


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


@pytest.mark.slow
@pytest.mark.parametrize("point", OF_RUN, ids=str)
def test_each_point_of_a_run(point: Point, ground: Ground) -> None:
    assert_equal(ground, of_run("lottery_ticket", UNEXPORTED), [point])


@pytest.mark.slow
@pytest.mark.parametrize("point", OF_EXPORT, ids=str)
def test_each_point_of_the_export_of_a_model(point: Point, ground: Ground) -> None:
    assert_equal(ground, of_run("es_then_adam"), [point])


@pytest.mark.slow
@pytest.mark.parametrize("point", OF_SWEEP, ids=str)
def test_each_point_of_a_sweep(point: Point, ground: Ground) -> None:
    assert_equal(ground, SERIAL, [point])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("case", [*runs(UNEXPORTED), SERIAL, *JOBLIBS, *RANKS], ids=lambda case: case.name)
def test_kills_at_random(case: Case, seed: int, ground: Ground) -> None:
    assert_equal(ground, case, at_random(case, seed))
