"""What studies conclude from numbers: equivalence, exponents, costs to a target."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from hybridopt import Outcome, Results
from hybridopt.study.comparing import compare, compare_values, equivalence
from hybridopt.study.reaching import Reached, log_rank, log_rank_tests, ratio, reach, within
from hybridopt.study.scaling import exponent, per_decade

SEEDS = 10


def by_seed(values: np.ndarray) -> dict[str, float]:
    return {str(seed): float(value) for seed, value in enumerate(values)}


# -- equivalence ------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.floats(-0.1, 0.1), st.floats(0.01, 0.2))
def test_equivalence_is_that_of_statsmodels(seed: int, shift: float, margin: float) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.normal(shift, 0.05, SEEDS), generator.normal(0, 0.05, SEEDS)
    assert equivalence(by_seed(a), by_seed(b), margin) == pytest.approx(ttost_paired(a, b, -margin, margin)[0])


@pytest.mark.parametrize(("gap", "p"), [(0.0, 0.0), (0.01, 0.0), (0.05, 1.0)])
def test_equal_differences_are_within_the_margin_or_not(gap: float, p: float) -> None:
    a = dict.fromkeys("abc", 0.5)
    assert equivalence(a, {seed: value + gap for seed, value in a.items()}, 0.02) == p


def test_a_run_that_diverged_is_as_good_as_none() -> None:
    a, b = {"1": 0.5, "2": math.inf}, {"1": 0.5, "2": 0.5}
    assert equivalence(a, b, 1.0) == 1.0


def test_a_family_of_comparisons_is_corrected_for_its_size() -> None:
    generator = np.random.default_rng(0)
    values = {name: by_seed(generator.normal(0, 1, SEEDS)) for name in "abcd"}
    values["better"] = by_seed(generator.normal(-3, 1, SEEDS))
    pairs = [("better", "a"), ("a", "b"), ("c", "d")]
    together = compare_values(values, pairs)
    (alone,) = compare_values(values, pairs[:1])
    assert [each.better for each in together] == ["better", None, None]
    assert alone.p < together[0].p <= 3 * alone.p * (1 + 1e-9)


def test_a_diverged_run_is_the_worst_whichever_way_is_good() -> None:
    runs = [Outcome(seed, {"test/loss": 0.1, "test/accuracy": 0.9}) for seed in range(SEEDS)]
    lost = [Outcome(seed, {"test/loss": math.nan, "test/accuracy": 0.1}, diverged=True) for seed in range(SEEDS)]
    results = Results("docs", arms={"good": runs, "lost": lost})
    for metric, higher in (("test/loss", False), ("test/accuracy", True)):
        assert set(results.values("lost", metric, higher).values()) == {-math.inf if higher else math.inf}


@pytest.mark.parametrize("higher", [False, True])
def test_an_arm_that_diverged_is_worse_and_never_as_good(higher: bool) -> None:
    """Also than one whose seeds all end alike; what diverged on both sides of a pair decides nothing."""
    lost = -math.inf if higher else math.inf
    values = {name: dict.fromkeys(map(str, range(SEEDS)), level) for name, level in (("a", 0.5), ("lost", lost))}
    (found,) = compare_values(values, [("lost", "a")], higher, margin=0.1)
    assert (found.better, found.equivalent) == ("a", False)
    (same,) = compare_values(values | {"b": values["lost"]}, [("lost", "b")], higher, margin=0.1)
    assert (same.better, same.equivalent, same.p) == (None, False, 1.0)


def test_pairs_without_a_common_seed_are_left_out() -> None:
    results = Results("docs", arms={"a": [Outcome(1, {"m": 0.1})], "b": [Outcome(2, {"m": 0.2})]})
    assert compare(results, [("a", "b")], "m") == []


# -- exponents --------------------------------------------------------------------------------------------------------


@given(st.floats(-3, 3), st.floats(1e-3, 1e3), st.integers(1, 4))
def test_an_exact_power_has_its_exponent(power: float, factor: float, seeds: int) -> None:
    found = exponent({x: [factor * x**power] * seeds for x in (1.0, 10.0, 300.0, 5e4)})
    assert (found.value, found.low, found.high) == pytest.approx((power,) * 3, abs=1e-6)


def test_the_interval_of_an_exponent_holds_it_as_often_as_it_says() -> None:
    generator, inside = np.random.default_rng(1), 0
    for _ in range(200):
        found = exponent({x: x**-0.5 * generator.lognormal(0, 0.3, SEEDS) for x in (10.0, 100.0, 1000.0)})
        inside += found.low <= -0.5 <= found.high
    assert 180 <= inside <= 200


@pytest.mark.parametrize("wrong", [{1.0: [1.0]}, {1.0: [1.0], 2.0: [0.0]}, {1.0: [1.0], 2.0: []}])
def test_what_has_no_exponent_is_refused(wrong: dict[float, list[float]]) -> None:
    with pytest.raises(ValueError, match="above 0 at two sizes"):
        exponent(wrong)


# -- targets ----------------------------------------------------------------------------------------------------------

CURVE = ((10.0, 0.9), (20.0, 0.5), (30.0, 0.2))


@pytest.mark.parametrize(("target", "cost", "hit"), [(0.5, 20.0, True), (0.3, 30.0, True), (0.1, 30.0, False)])
def test_a_target_is_reached_at_the_first_mark_that_is_good_enough(target: float, cost: float, hit: bool) -> None:
    assert reach([Outcome(0, {}, CURVE)], target) == Reached((cost,), (hit,))
    rising = [(forwards, 1 - value) for forwards, value in CURVE]
    assert reach([Outcome(0, {}, rising)], 1 - target, higher=True) == Reached((cost,), (hit,))


def test_ert_counts_what_was_spent_in_vain() -> None:
    found = Reached((10.0, 30.0, 100.0), (True, True, False))
    assert found.expected.value == 70.0
    assert found.success.value == pytest.approx(2 / 3)


def test_log_rank_censors_at_the_end_of_the_budget() -> None:
    quick, slow = Reached((1.0, 2.0, 3.0, 4.0), (True,) * 4), Reached((5.0, 6.0, 9.0, 9.0), (True, True, False, False))
    x, y = (stats.CensoredData(uncensored=[1, 2, 3, 4]), stats.CensoredData(uncensored=[5, 6], right=[9, 9]))
    assert log_rank(quick, slow) == pytest.approx(stats.logrank(x, y).pvalue)
    never = Reached((9.0,) * 4, (False,) * 4)
    assert log_rank(never, never) == 1.0
    together = Reached((10.0,) * 5, (True,) * 5)
    assert log_rank(together, together) == 1.0


def test_a_ratio_of_costs_has_an_interval_unless_somebody_never_gets_there() -> None:
    slow, quick = Reached((20.0, 22.0, 18.0), (True,) * 3), Reached((2.0, 2.2, 1.8), (True,) * 3)
    found = ratio(slow, quick)
    assert found.value == pytest.approx(10.0)
    assert found.low < 10.0 < found.high
    never = Reached((9.0,) * 3, (False,) * 3)
    assert ratio(never, quick).value == math.inf
    assert math.isnan(ratio(quick, never).value)


def test_a_slope_is_by_decade_and_by_seed() -> None:
    measured = {10.0: {"1": 0.1, "2": 0.5, "3": 0.0}, 100.0: {"1": 0.3, "2": 0.5}, 1000.0: {"1": 0.5, "2": 0.5}}
    assert per_decade(measured) == pytest.approx({"1": 0.2, "2": 0.0})
    with pytest.raises(ValueError, match="two sizes"):
        per_decade({10.0: {"1": 0.1}})


@pytest.mark.parametrize(
    ("costs", "reached", "told"),
    [(30.0, True, True), (100.0, True, None), (300.0, True, False), (300.0, False, False), (50.0, False, None)],
)
def test_a_cost_is_so_many_times_another_or_more_or_cannot_be_told(
    costs: float, reached: bool, told: bool | None
) -> None:
    spread = np.linspace(0.9, 1.1, SEEDS)
    a = Reached(tuple(map(float, costs * spread)), (reached,) * SEEDS)
    b = Reached(tuple(map(float, 10 * spread)), (True,) * SEEDS)
    assert within(a, b, 10) is told
    assert within(a, Reached(b.costs, (False,) * SEEDS), 10) is None


def test_runs_that_all_end_at_once_decide_nothing() -> None:
    same = Reached((10.0,) * SEEDS, (True,) * SEEDS)
    assert log_rank(same, same) == 1.0


def test_log_rank_tests_of_a_family_are_corrected_for_its_size() -> None:
    quick, slow = (Reached(tuple(first + n for n in range(SEEDS)), (True,) * SEEDS) for first in (1.0, 5.0))
    alone = log_rank(quick, slow)
    assert log_rank_tests([(quick, slow), (quick, quick)]) == pytest.approx([2 * alone, 1.0])


def test_a_sentence_names_the_metric_and_what_p_is_corrected_for() -> None:
    one, other, third = np.random.default_rng(1).normal(size=(3, 8))
    values = {"a": by_seed(one), "b": by_seed(one + 1 + other), "c": by_seed(third)}
    (alone,) = compare_values(values, [("a", "b")], metric="test/loss")
    assert str(alone).startswith("test/loss: a ")
    assert "Holm" not in str(alone)
    many = compare_values(values, [("a", "b"), ("a", "c"), ("b", "c")], metric="test/loss")
    assert all("(Holm, 3 comparisons" in str(each) for each in many)
    for each in many:
        excluded = each.found.difference.low > 0 or each.found.difference.high < 0
        assert ("of this one alone" in str(each)) == (excluded and each.p > 0.05)
    assert any("of this one alone" in str(each) for each in many), "the case that looks like a contradiction"
    (few,) = compare_values({name: {"0": of["0"], "1": of["1"]} for name, of in values.items()}, [("a", "b")])
    assert "with 2 seeds nothing can be told, it takes 4" in str(few)
