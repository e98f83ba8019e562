"""Schedules: from 1 to the final factor, without a turn."""

import math
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridopt.errors import ConfigError
from hybridopt.toolbox.schedule import Decay, Schedule

MOVING = [name for name in get_args(Schedule) if name != "constant"]
finals = st.floats(1e-3, 10.0)
shares = st.floats(0.0, 1.0)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(get_args(Schedule)), finals)
def test_starts_at_one(schedule, final):
    assert Decay(schedule, final)(0.0) == pytest.approx(1.0, rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(MOVING), finals)
def test_ends_at_the_final_factor(schedule, final):
    assert Decay(schedule, final)(1.0) == pytest.approx(final, rel=1e-9)


@pytest.mark.parametrize("schedule", sorted(set(MOVING) - {"exponential"}))
def test_may_end_at_zero(schedule):
    assert Decay(schedule, 0.0)(1.0) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(
    ("schedule", "final", "named"),
    [
        ("exponential", 0.0, r"final_lr must be a positive .* is 0"),
        ("linaer", 0.5, "linear"),
        ("cosine", math.nan, "nan"),
    ],
)
def test_what_is_no_schedule_is_refused(schedule, final, named):
    with pytest.raises(ConfigError, match=named):
        Decay(schedule, final)


def test_the_refusal_names_the_setting_by_its_name():
    with pytest.raises(ConfigError, match=r"strategy\.final_sigma .* is -1"):
        Decay("exponential", -1.0, "final_sigma")


@settings(max_examples=50, deadline=None)
@given(shares, st.floats(0.0, 10.0))
def test_constant_stays_at_one_whatever_the_final_factor(progress, final):
    assert Decay("constant", final)(progress) == 1.0


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(MOVING), st.tuples(shares, shares).map(sorted), finals)
def test_goes_one_way_and_stays_between_its_ends(schedule, progress, final):
    earlier, later = (Decay(schedule, final)(share) for share in progress)
    direction = math.copysign(1.0, final - 1)
    assert direction * (later - earlier) >= -1e-12 * max(1.0, final)
    assert min(1.0, final) - 1e-9 <= earlier <= max(1.0, final) + 1e-9


@pytest.mark.parametrize(("schedule", "half"), [("linear", 0.505), ("cosine", 0.505), ("exponential", 0.1)])
def test_the_middle_is_the_mean_of_the_ends_arithmetic_or_geometric(schedule, half):
    assert Decay(schedule, 0.01)(0.5) == pytest.approx(half)


def test_cosine_is_flat_at_both_ends_and_linear_is_not():
    for near, end in ((1e-4, 0.0), (1 - 1e-4, 1.0)):
        assert abs(Decay("cosine", 0.1)(near) - Decay("cosine", 0.1)(end)) < 1e-7
        assert abs(Decay("linear", 0.1)(near) - Decay("linear", 0.1)(end)) > 1e-5
