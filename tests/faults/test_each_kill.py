"""Kills at each named point, and at random, ``HYBRIDOPT_FAULTS`` times."""

from __future__ import annotations

import os

import pytest
from chains import Case, Ground, assert_equal, at_random
from kills import Point
from places import JOBLIBS, OF_EXPORT, OF_RUN, OF_SWEEP, RANKS, SERIAL, UNEXPORTED, of_run, runs

ROUNDS = int(os.environ["HYBRIDOPT_FAULTS"])  # of random chains, each of one to three kills

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]


@pytest.mark.parametrize("point", OF_RUN, ids=str)
def test_each_point_of_a_run(point: Point, ground: Ground) -> None:
    assert_equal(ground, of_run("lottery_ticket", UNEXPORTED), [point])


@pytest.mark.parametrize("point", OF_EXPORT, ids=str)
def test_each_point_of_the_export_of_a_model(point: Point, ground: Ground) -> None:
    assert_equal(ground, of_run("es_then_adam"), [point])


@pytest.mark.parametrize("point", OF_SWEEP, ids=str)
def test_each_point_of_a_sweep(point: Point, ground: Ground) -> None:
    assert_equal(ground, SERIAL, [point])


@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("case", [*runs(UNEXPORTED), SERIAL, *JOBLIBS, *RANKS], ids=lambda case: case.name)
def test_kills_at_random(case: Case, seed: int, ground: Ground) -> None:
    assert_equal(ground, case, at_random(case, seed))
