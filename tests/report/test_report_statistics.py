"""The mathematics of a report: against scipy, by hand, and by what must hold for any numbers."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hybridopt.report import statistics

VALUES = st.lists(st.floats(-100, 100), min_size=2, max_size=12)
PS = st.lists(st.floats(0, 1), min_size=1, max_size=10)


def by_seed(values: list[float]) -> dict[str, float]:
    return {str(seed): value for seed, value in enumerate(values)}


@settings(deadline=None, max_examples=20)
@given(PS)
def test_holm_is_monotone_never_smaller_and_never_above_one(ps: list[float]) -> None:
    corrected = statistics.holm(ps)
    order = np.argsort(ps, kind="stable")
    assert all(p <= c + 1e-12 <= 1 + 1e-9 for p, c in zip(ps, corrected, strict=True))
    assert all(corrected[i] <= corrected[j] + 1e-12 for i, j in pairwise(order))


def test_holm_is_holms() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([]) == []


@settings(deadline=None, max_examples=30)
@given(VALUES, VALUES)
def test_the_effect_of_a_against_b_is_that_of_b_against_a_turned_around(x: list[float], y: list[float]) -> None:
    n = min(len(x), len(y))
    one, other = (statistics.paired(by_seed(a[:n]), by_seed(b[:n]), True) for a, b in ((x, y), (y, x)))
    assert one.delta == pytest.approx(-other.delta)
    assert one.improvement == pytest.approx(1 - other.improvement)
    assert one.p == pytest.approx(other.p)
    assert one.difference.value == pytest.approx(-other.difference.value)


def test_a_pair_is_compared_as_scipy_does() -> None:
    x, y = [0.9, 0.95, 0.93, 0.97, 0.96, 0.91], [0.8, 0.96, 0.85, 0.9, 0.91, 0.89]
    found = statistics.paired(by_seed(x), by_seed(y), True)
    assert found.p == pytest.approx(stats.wilcoxon(x, y).pvalue)
    assert found.improvement == pytest.approx(np.mean([(a > b) + (a == b) / 2 for a in x for b in y]))
    assert statistics.paired(by_seed(x), by_seed(y), False).improvement == pytest.approx(1 - found.improvement)


def test_only_common_seeds_are_compared() -> None:
    assert statistics.paired({"0": 1.0, "1": 2.0}, {"1": 1.0, "2": 9.0}, True).n == 1
    assert statistics.paired({"0": 1.0}, {"1": 1.0}, True) is None


def test_equal_runs_differ_in_nothing() -> None:
    found = statistics.paired(by_seed([1.0] * 5), by_seed([1.0] * 5), True)
    assert (found.p, found.delta, found.improvement, found.needed) == (1.0, 0.0, 0.5, None)


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=12))
def test_expected_running_time_is_the_mean_where_all_arrive(costs: list[float]) -> None:
    assert statistics.expected_running_time(costs, [True] * len(costs)).value == pytest.approx(np.mean(costs))


def test_expected_running_time_pays_for_those_that_do_not_arrive() -> None:
    found = statistics.expected_running_time([100, 300, 1000], [True, True, False])
    assert found.value == 700
    assert found.low <= 700 <= found.high
    assert statistics.expected_running_time([100, 100], [False, False]).value == math.inf


def test_success_rate_has_wilsons_interval() -> None:
    found = statistics.success_rate(8, 10)
    assert (found.value, found.low, found.high) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)


@settings(deadline=None, max_examples=20)
@given(VALUES)
def test_an_interval_holds_its_median_and_is_always_the_same(values: list[float]) -> None:
    found = statistics.median(values)
    assert found.low <= found.value <= found.high
    assert found == statistics.median(values)


def test_an_interval_of_one_value_is_none() -> None:
    found = statistics.median([3.0])
    assert found.value == 3.0
    assert math.isnan(found.low)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    found = [statistics.median(list(generator.normal(size=15))) for _ in range(100)]
    assert sum(each.low <= 0 <= each.high for each in found) >= 85  # nominally 95; the bootstrap is a little narrow


def test_the_interquartile_mean_leaves_out_the_outer_quarters() -> None:
    assert statistics.interquartile_mean([[1.0, 2.0, 3.0, 100.0]]).value == 2.5
    strata = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 800.0]]
    assert statistics.interquartile_mean(strata).value == stats.trim_mean(np.ravel(strata), 0.25)


@pytest.mark.parametrize(("level", "pairs"), [(0.05, 6), (0.05 / 6, 8), (0.01, 8)])
def test_fewer_pairs_can_never_reach_the_level(level: float, pairs: int) -> None:
    assert statistics.fewest_pairs(level) == pairs
    differences = np.arange(1, pairs + 1)
    assert stats.wilcoxon(differences).pvalue <= level < stats.wilcoxon(differences[:-1]).pvalue


def test_the_pairs_that_would_be_needed_give_the_power_that_is_promised() -> None:
    generator = np.random.default_rng(0)
    pattern = generator.normal(0.5, 1, size=400)
    needed = statistics.pairs_needed((pattern - pattern.mean()) / pattern.std(ddof=1) + 0.5)
    assert 30 <= needed <= 40  # 33.4 for the t-test, over 0.955
    found = [stats.wilcoxon(generator.normal(0.5, 1, size=needed)).pvalue <= 0.05 for _ in range(400)]
    assert 0.74 <= np.mean(found) <= 0.87
