"""The mathematics of a report: against scipy, by hand, and by what must hold for any numbers."""

from __future__ import annotations

import math
from dataclasses import astuple
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hybridopt.report import means, statistics
from hybridopt.report.interval import Interval
from hybridopt.report.runs import ComparedRun, Comparison
from hybridopt.report.verdict import verdicts

TIED = st.one_of(st.floats(-100, 100), st.sampled_from([0.0, 0.1, 0.2, 0.3]))
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


PAIRS = st.integers(1, 14).flatmap(lambda n: st.tuples(*(st.lists(TIED, min_size=n, max_size=n) for _ in range(2))))


@settings(deadline=None, max_examples=60)
@given(PAIRS, st.integers(1, 15))
def test_the_effect_of_a_against_b_is_that_of_b_against_a_turned_around(
    pair: tuple[list[float], list[float]], tests: int
) -> None:
    x, y = map(by_seed, pair)
    one, other = statistics.paired(x, y, True, tests), statistics.paired(y, x, True, tests)
    assert one.delta == pytest.approx(-other.delta)
    assert one.improvement == pytest.approx(1 - other.improvement)
    assert one.p == pytest.approx(other.p)
    turned = Interval(-other.difference.value, -other.difference.high, -other.difference.low)
    assert astuple(one.difference) == pytest.approx(astuple(turned), nan_ok=True, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(PAIRS, st.integers(1, 15), st.booleans())
def test_a_p_below_the_level_and_an_interval_without_zero_are_the_same(
    pair: tuple[list[float], list[float]], tests: int, higher: bool
) -> None:
    found = statistics.paired(*map(by_seed, pair), higher, tests)
    low, high = found.difference.low, found.difference.high
    exact = found.n >= means.pairs_for_permutation(statistics.LEVEL / tests)
    if exact:
        assert (found.p <= statistics.LEVEL) == (low > 0 or high < 0)
    elif found.p <= statistics.LEVEL:
        assert low > 0 or high < 0
    assert math.isnan(low) or low <= found.difference.value <= high


@settings(deadline=None, max_examples=40)
@given(st.lists(PAIRS, min_size=1, max_size=3), st.booleans())
def test_a_verdict_its_effect_and_its_interval_never_disagree(
    pairs: list[tuple[list[float], list[float]]], higher: bool
) -> None:
    strategies = [values for pair in pairs for values in pair]
    values = {(f"s{number}", "d"): by_seed(each) for number, each in enumerate(strategies)}
    results = [ComparedRun(strategy, "d", "0", SimpleNamespace(metrics={})) for strategy, _ in values]
    for each in verdicts(values, Comparison(results, "m", higher, [], [])):
        if each.better is None:
            continue
        way = (1 if each.better == each.a else -1) * (1 if higher else -1)
        difference = each.found.difference
        assert min(way * difference.low, way * difference.value, way * difference.high) > 0
        assert (each.found.improvement > 0.5) == (each.better == each.a)
        assert way * each.found.delta > 0
        assert way * (each.found.a - each.found.b) > 0


def test_differences_of_rounding_are_none() -> None:
    found = statistics.paired(by_seed([0.2] * 5 + [0.1]), by_seed([0.2 + 1e-17] * 5 + [0.1]), True)
    assert (found.p, found.difference.value, found.needed) == (1.0, 0.0, None)


def test_many_pairs_are_compared_by_all_choices_of_signs() -> None:
    x = [0.9, 0.95, 0.93, 0.97, 0.96, 0.91, 0.9, 0.93, 0.99, 0.9, 0.94]
    y = [0.8, 0.96, 0.85, 0.9, 0.91, 0.89, 0.9, 0.92, 0.8, 0.91, 0.95]
    found = statistics.paired(by_seed(x), by_seed(y), True)
    kind = {"permutation_type": "samples", "n_resamples": np.inf}
    mine = stats.permutation_test((x, y), lambda a, b, axis: np.mean(a - b, axis=axis), vectorized=True, **kind)
    assert found.p == pytest.approx(mine.pvalue)
    assert found.improvement == pytest.approx(np.mean([(a > b) + (a == b) / 2 for a in x for b in y]))
    assert statistics.paired(by_seed(x), by_seed(y), False).improvement == pytest.approx(1 - found.improvement)


def test_few_pairs_are_compared_by_the_t_test() -> None:
    x, y = [0.912, 0.954, 0.933, 0.971, 0.966], [0.813, 0.907, 0.841, 0.902, 0.915]
    found, reference = statistics.paired(by_seed(x), by_seed(y), True), stats.ttest_rel(x, y)
    assert found.p == pytest.approx(max(reference.pvalue, 2 / math.comb(10, 5)), rel=1e-2)
    interval = reference.confidence_interval()
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(interval), rel=2e-2)


@pytest.mark.parametrize(("n", "differing"), [(20, 5), (20, 9), (14, 5), (40, 6)])
def test_ties_leave_what_can_be_said_to_the_pairs_that_differ(n: int, differing: int) -> None:
    found = statistics.paired(by_seed([1.0] * n), by_seed([0.9] * differing + [1.0] * (n - differing)), True)
    assert found.p == pytest.approx(2 / 2**differing, rel=1e-9 if n <= 20 else 0.2)  # of 40 pairs, a sample of signs


def test_five_pairs_of_values_that_agree_by_accident_do_not_differ_for_certain() -> None:
    """Accuracies on few samples: the same step five times is no difference without spread."""
    found = statistics.paired(by_seed([0.9] * 5), by_seed([0.8] * 5), True)
    assert 2 / math.comb(10, 5) <= found.p
    assert 0 < found.difference.low < 0.1 < found.difference.high < 0.2


def test_only_common_seeds_are_compared() -> None:
    assert statistics.paired({"0": 1.0, "1": 2.0}, {"1": 1.0, "2": 9.0}, True).n == 1
    assert statistics.paired({"0": 1.0}, {"1": 1.0}, True) is None


def test_equal_runs_differ_in_nothing() -> None:
    found = statistics.paired(by_seed([1.0] * 5), by_seed([1.0] * 5), True)
    assert (found.p, found.delta, found.improvement, found.needed) == (1.0, 0.0, 0.5, None)
    assert astuple(found.difference) == (0.0, 0.0, 0.0)


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
    assert math.isnan(found.low) == (len(values) < 5)
    assert not found.low > found.value
    assert not found.value > found.high
    assert repr(found) == repr(statistics.median(values))


def test_an_interval_of_one_value_is_none() -> None:
    found = statistics.median([3.0])
    assert found.value == 3.0
    assert math.isnan(found.low)


@pytest.mark.parametrize("n", [5, 6, 9, 15])
def test_intervals_hold_the_median_as_often_as_they_say(n: int) -> None:
    generator = np.random.default_rng(1)
    found = [statistics.median(sample) for sample in generator.normal(size=(1000, n))]
    assert 0.92 <= np.mean([each.low <= 0 <= each.high for each in found]) <= 0.975


@pytest.mark.parametrize("n", [2, 5, 9, 12])
def test_intervals_hold_the_difference_as_often_as_they_say(n: int) -> None:
    generator = np.random.default_rng(1)
    found = [means.mean_difference(*generator.normal(size=(2, n)))[1] for _ in range(500)]
    assert 0.92 <= np.mean([each.low <= 0 <= each.high for each in found]) <= 0.98


def test_the_interquartile_mean_leaves_out_the_outer_quarters() -> None:
    assert statistics.interquartile_mean([[1.0, 2.0, 3.0, 100.0]]).value == 2.5
    strata = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 800.0]]
    assert statistics.interquartile_mean(strata).value == stats.trim_mean(np.ravel(strata), 0.25)


@pytest.mark.parametrize(("level", "pairs"), [(0.05, 4), (0.05 / 6, 5), (0.05 / 15, 6)])
def test_fewer_pairs_can_never_reach_the_level(level: float, pairs: int) -> None:
    assert statistics.fewest_pairs(level) == pairs
    apart = np.linspace(0, 0.01, pairs), 100 + np.linspace(0, 0.02, pairs)
    assert means.mean_difference(*apart, level)[0] <= level
    assert means.mean_difference(*(values[:-1] for values in apart), level)[0] > level


@pytest.mark.parametrize(("effect", "tests"), [(0.5, 1), (1.0, 1), (1.0, 6), (2.5, 6), (20.0, 15)])
def test_the_pairs_that_would_be_needed_give_the_power_that_is_promised(effect: float, tests: int) -> None:
    level = statistics.LEVEL / tests
    needed = statistics.pairs_needed(effect, 1.0, level)
    generator = np.random.default_rng(0)
    zero = np.zeros(needed)
    found = [means.mean_difference(generator.normal(effect, 1, size=needed), zero, level)[0] for _ in range(300)]
    assert np.mean(np.array(found) <= level) >= 0.74  # 0.8, less what 300 draws may be off
    if effect < 10:
        fewer = needed * 3 // 4
        found = [
            means.mean_difference(generator.normal(effect, 1, size=fewer), zero[:fewer], level)[0] for _ in range(300)
        ]
        assert np.mean(np.array(found) <= level) < 0.8
