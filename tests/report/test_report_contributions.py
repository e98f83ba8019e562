"""What each part of a hybrid contributes: the sentence for each outcome, and that its numbers agree with it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridopt.report import statistics
from hybridopt.report.contributions import Contribution, contributions, sentences
from hybridopt.report.interval import LEVEL
from hybridopt.report.page import contribution_tables
from hybridopt.report.runs import ComparedRun, Comparison
from hybridopt.tracking.reading import StoredRun

ARM = "without the search"
ROOM = 0.02  # over seeds


def ran(
    strategy: str, seed: int, value: float, *, dataset: str = "digits", marks: Mapping[str, str] | None = None
) -> ComparedRun:
    """A run whose test is this value, known by strategy, data set and seed."""
    tags = {"hybridopt.fingerprint": f"{strategy} {dataset} {seed}"}
    tags |= {"hybridopt.controls": json.dumps(marks)} if marks else {}
    metrics = {"test/accuracy": value, "final/val/accuracy": value, "cost/forwards": 1000.0 + len(strategy)}
    record = StoredRun("", strategy, "FINISHED", 0, tags, {"budget.forwards": "1000.0"}, metrics)
    return ComparedRun(strategy, dataset, str(seed), record, [(1000.0, value)])


def hybrid_and_arms(
    hybrid: Sequence[float], arms: Mapping[str, Sequence[float]], dataset: str = "digits"
) -> tuple[list[ComparedRun], list[ComparedRun]]:
    """A hybrid's runs, and those of its arms; an arm may have fewer."""
    own = [
        ran("both", seed, value, dataset=dataset, marks={name: f"{name} {dataset} {seed}" for name in arms})
        for seed, value in enumerate(hybrid)
    ]
    return own, [
        ran(name, s, value, dataset=dataset) for name, values in arms.items() for s, value in enumerate(values)
    ]


def told(hybrid: Sequence[float], arm: Sequence[float], *, higher: bool = True) -> Contribution:
    own, arms = hybrid_and_arms(hybrid, {ARM: arm})
    (found,) = contributions(Comparison(own, "accuracy", higher, arms=arms))
    return found


def around(mean: float, n: int, seed: int = 0) -> list[float]:
    return [float(value) for value in np.random.default_rng(seed).normal(mean, ROOM, n)]


def test_a_part_that_helps() -> None:
    found = told(around(0.95, 10), around(0.80, 10, 1))
    assert found.outcome() == "worse"
    assert found.sentence().startswith("both on digits: without the search, the result is worse by 0.14")
    assert " in test/accuracy, p = 0.00" in found.sentence()
    assert found.sentence().endswith("10 seeds; a run of the hybrid is better with a probability of 1.00.")


def test_a_part_that_harms() -> None:
    found = told(around(0.80, 10), around(0.95, 10, 1))
    assert found.outcome() == "better"
    assert "without the search, the result is better by 0.15" in found.sentence()
    assert "a run of the arm is better with a probability of 1.00." in found.sentence()


def test_where_less_is_better_the_words_turn_around() -> None:
    assert told(around(0.80, 10), around(0.95, 10, 1), higher=False).outcome() == "worse"


def test_a_part_without_an_effect_is_told_as_one_where_the_seeds_suffice() -> None:
    common = np.array(around(0.9, 20))
    found = told(list(common), list(common + np.random.default_rng(2).normal(0, ROOM / 4, 20)))
    assert found.outcome() == "the same"
    assert "without the search, the result is the same (p = " in found.sentence()
    assert "less than what another seed changes)." in found.sentence()


def test_a_part_that_changes_nothing_at_all() -> None:
    values = around(0.9, 3)
    found = told(values, values)
    assert found.sentence() == (
        "both on digits: without the search, the result is the same (p = 1, 3 seeds; the difference in test/accuracy "
        "is 0 in every run)."
    )


def test_seeds_that_cannot_tell_say_what_they_could_have_seen() -> None:
    found = told(around(0.9, 8), around(0.9, 8, 1))
    seen = statistics.detectable(8, found.verdict.found.spread, LEVEL)
    assert "without the search, 8 seeds cannot tell a difference (p = " in found.sentence()
    assert found.sentence().endswith(f"; a difference of {seen:.3g} in test/accuracy could have been seen).")
    assert found.outcome().startswith("not decided; about ")


def test_seeds_that_could_see_nothing_say_how_many_it_takes() -> None:
    found = told([0.95, 0.96, 0.955], [0.5, 0.6, 0.55])
    assert found.sentence().endswith("3 seeds cannot tell a difference (p = 0.1; it takes 4, however large it is).")


def test_that_seeds_cannot_tell_of_any_part_is_said_once() -> None:
    own, arms = hybrid_and_arms([0.9, 0.8], {ARM: [0.5, 0.6], "without the rest": [0.4, 0.3]})
    said = "2 seeds cannot tell what a part contributes among 2 comparisons, however large the difference: at least 5"
    assert sentences(contributions(Comparison(own, "accuracy", True, arms=arms))) == [f"{said} are needed."]
    more, their_arms = hybrid_and_arms(around(0.95, 10), {ARM: around(0.8, 10)}, dataset="iris")
    told = sentences(contributions(Comparison([*own, *more], "accuracy", True, arms=[*arms, *their_arms])))
    assert "both on iris: without the search, the result is worse" in told[0]
    named = "both on digits, without the search; both on all 2 data sets, without the search; both on digits, without"
    assert told[-1].endswith(f"are needed: {named} the rest.")


def test_a_mean_that_its_ranks_contradict_is_no_verdict() -> None:
    found = told([0.9] * 14 + [0.905] * 6, [0.91] * 14 + [0.5] * 6)
    assert found.verdict.p <= LEVEL
    assert found.outcome().startswith("not decided")
    assert "20 seeds cannot tell a difference (p = 0.031; the mean and the probability of" in found.sentence()


def test_a_diverged_run_counts_as_the_worst_and_is_told() -> None:
    found = told(around(0.95, 10), [math.nan, *around(0.8, 9, 1)])
    assert found.outcome() == "worse"
    assert found.sentence().endswith("; 1 of 10 runs of the arm diverged and counts as the worst.")


def test_an_arm_that_has_no_finished_run_is_named() -> None:
    found = told(around(0.9, 5), [])
    assert found.sentence() == "both on digits: without the search, there is no finished run to compare."
    assert list(contribution_tables([found])) == []


def test_only_common_seeds_are_paired_and_costs_are_theirs() -> None:
    found = told(around(0.9, 8), around(0.8, 6))
    assert found.verdict.found.n == 6
    assert found.forwards == (1000.0 + len("both"), 1000.0 + len(ARM))


def test_data_sets_are_compared_one_by_one_and_together_and_corrected_for_all() -> None:
    runs = [hybrid_and_arms(around(mean, 8), {ARM: around(mean - 0.3, 8, 1), "b only": around(mean, 8, 2)}, name)
            for name, mean in (("digits", 0.9), ("wine", 0.7))]  # fmt: skip
    own, arms = ([run for part in each for run in part] for each in zip(*runs, strict=True))
    found = contributions(Comparison(own, "accuracy", True, arms=arms))
    assert [(each.arm, each.dataset) for each in found] == [
        (arm, place) for arm in (ARM, "b only") for place in ("digits", "wine", "all 2 data sets")
    ]
    assert {each.verdict.tests for each in found} == {6}
    raw = [each.verdict.found.p for each in found]
    assert [each.verdict.p for each in found] == pytest.approx(statistics.holm(raw))
    one, other, both = (each.verdict.found.difference.value for each in found[:3])
    assert both == pytest.approx((one + other) / 2)
    assert len(list(contribution_tables(found))) == 3


def test_a_run_of_its_own_is_an_arm_too() -> None:
    own, arms = hybrid_and_arms(around(0.9, 8), {ARM: around(0.8, 8)})
    (found,) = contributions(Comparison([*own, *arms], "accuracy", True))
    assert found.verdict.found.n == 8


def test_without_hybrids_there_is_nothing() -> None:
    assert contributions(Comparison([ran("adam", 0, 0.9)], "accuracy", True)) == []


TIED = st.one_of(st.floats(-100, 100), st.sampled_from([0.0, 0.1, 0.2, 0.3]))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 14).flatmap(lambda n: st.tuples(*(st.lists(TIED, min_size=n, max_size=n),) * 2)), st.booleans())
def test_words_and_numbers_never_disagree(pair: tuple[list[float], list[float]], higher: bool) -> None:
    found = told(*pair, higher=higher)
    paired = found.verdict.found
    gain = paired.difference.value if higher else -paired.difference.value
    low, high = paired.difference.low, paired.difference.high
    if found.outcome() in ("worse", "better"):
        assert found.verdict.p <= LEVEL
        assert not low <= 0 <= high
        assert (found.outcome() == "worse") == (gain > 0) == (paired.improvement > 0.5)
        assert f"the result is {found.outcome()} by" in found.sentence()
    elif found.outcome() == "the same":
        assert found.verdict.p > LEVEL
        assert low <= 0 <= high
        assert "the result is the same" in found.sentence()
    else:
        assert "cannot tell a difference" in found.sentence()


@pytest.mark.parametrize(("n", "level"), [(5, 0.05), (10, 0.05), (10, 0.05 / 8), (40, 0.01)])
def test_what_could_have_been_seen_needs_these_pairs(n: int, level: float) -> None:
    seen = statistics.detectable(n, 0.3, level)
    assert statistics.pairs_needed(seen * 1.001, 0.3, level) <= n
    assert statistics.pairs_needed(seen * 0.98, 0.3, level) >= n
    assert statistics.detectable(3, 0.3) is None
