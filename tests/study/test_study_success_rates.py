"""Success rates that studies compare."""

from __future__ import annotations

import pytest
from scipy import stats

from hybridopt.study.succeeding import compare_rates, rate

ALWAYS, NEVER, HALF = [True] * 10, [False] * 10, [True, False] * 5


def test_pairs_are_compared_by_fisher_and_corrected_for_their_number() -> None:
    found = compare_rates({"a": ALWAYS, "b": NEVER, "c": HALF}, [("a", "b"), ("b", "c")])
    raw = [stats.fisher_exact([[10, 0], [0, 10]]).pvalue, stats.fisher_exact([[0, 10], [5, 5]]).pvalue]
    assert [each.p for each in found] == pytest.approx([2 * raw[0], raw[1]])
    assert [each.better for each in found] == ["a", "c"]


def test_a_pair_without_runs_is_left_out() -> None:
    assert compare_rates({"a": ALWAYS, "b": []}, [("a", "b"), ("a", "c")]) == []


def test_equal_rates_cannot_be_told_apart() -> None:
    (same,) = compare_rates({"a": HALF, "b": HALF}, [("a", "b")])
    assert same.better is None
    assert (same.rate_a, same.p) == (rate(HALF), 1.0)
