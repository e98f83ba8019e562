"""The account: what is charged arrives, limits end, phases take their shares, and a saved account is the same one."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridopt.core.ledger import FORWARD, GRADIENT, JVP, Budget, Ledger, jacobian_cost
from hybridopt.errors import ConfigError

charges = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 50)), max_size=20)


def restored(ledger, into=None):
    """The ledger after a way through JSON, as plain values survive it."""
    copy = into or Ledger(ledger.budget)
    copy.load_state_dict(json.loads(json.dumps(ledger.state_dict())))
    return copy


# -- charging ---------------------------------------------------------------------------------------------------------


def test_the_prices_are_those_of_the_design():
    assert (FORWARD, GRADIENT, JVP, jacobian_cost(10)) == (1, 3, 2, 21)


@settings(max_examples=40, deadline=None)
@given(charges)
def test_charges_add_up(booked):
    ledger = Ledger(Budget(forwards=100))
    for forwards, evaluations in booked:
        ledger.charge(forwards, evaluations)
    assert ledger.forwards == sum(forwards for forwards, _ in booked)
    assert ledger.evaluations == sum(evaluations for _, evaluations in booked)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "b/c"]), st.integers(0, 1000), st.integers(0, 50)), max_size=20))
def test_charges_bubble_up(booked):
    root = Ledger(Budget(forwards=100))
    accounts = {"a": root.phase("a", 0.5), "b": root.phase("b", 1.0)}
    accounts["b/c"] = accounts["b"].phase("c", 1.0)
    for name, forwards, evaluations in booked:
        accounts[name].charge(forwards, evaluations)

    def total(field, *names):
        return sum(entry[field] for entry in booked if entry[0] in names)

    for field, key in ((1, "forwards"), (2, "evaluations")):
        assert getattr(root, key) == total(field, *accounts)
        assert getattr(accounts["a"], key) == total(field, "a")
        assert getattr(accounts["b"], key) == total(field, "b", "b/c")
        assert getattr(accounts["b/c"], key) == total(field, "b/c")


def test_time_is_booked_on_the_account_and_on_the_phases_that_are_active():
    root = Ledger(Budget(seconds=100))
    a = root.phase("a", 0.5)
    root.spend_time(2.0)
    b = root.phase("b", 1.0)
    c = b.phase("c", 1.0)
    root.spend_time(3.0)
    assert [account.seconds for account in (root, a, b, c)] == [5.0, 2.0, 3.0, 3.0]


# -- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reached", ["forwards", "seconds", "evaluations"])
def test_the_first_limit_reached_wins(reached):
    limits = {"forwards": 1000, "seconds": 1000.0, "evaluations": 1000} | {reached: 10}
    ledger = Ledger(Budget(**limits))
    ledger.charge(9, 9)
    ledger.spend_time(9)
    assert ledger.progress == 0.9
    assert not ledger.exhausted
    ledger.charge(1, 1)
    ledger.spend_time(1)
    assert ledger.progress == 1
    assert ledger.exhausted


def test_what_is_not_limited_does_not_end():
    ledger = Ledger(Budget(evaluations=10))
    ledger.charge(10**9)
    ledger.spend_time(10**9)
    assert ledger.progress == 0
    assert not ledger.exhausted
    assert ledger.remaining is None


@settings(max_examples=60, deadline=None)
@given(st.floats(0.5, 1e6), st.integers(0, 2 * 10**6))
def test_as_long_as_something_remains_the_budget_is_not_exhausted(limit, spent):
    ledger = Ledger(Budget(forwards=limit))
    ledger.charge(spent)
    assert (ledger.remaining > 0) == (not ledger.exhausted)
    assert ledger.remaining >= 0
    assert ledger.remaining == 0 or spent + ledger.remaining - 1 < limit <= spent + ledger.remaining


@pytest.mark.parametrize(("spent", "remaining"), [(0, 11), (4, 7), (10, 1), (11, 0), (50, 0)])
def test_remaining_rounds_up(spent, remaining):
    ledger = Ledger(Budget(forwards=10.5))
    ledger.charge(spent)
    assert ledger.remaining == remaining


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 10_000))
def test_a_mark_is_passed_when_its_share_is_spent(marks, per_mark):
    ledger = Ledger(Budget(forwards=marks * per_mark, marks=marks))
    for passed in range(marks):
        assert ledger.marks_passed == passed
        ledger.charge(per_mark - 1)
        assert ledger.marks_passed == passed
        ledger.charge(1)
    ledger.charge(10 * per_mark)  # an overshoot passes no mark that there is not
    assert ledger.marks_passed == marks


# -- phases -----------------------------------------------------------------------------------------------------------


def test_phases_end_at_their_cumulative_shares():
    root = Ledger(Budget(forwards=1000, evaluations=100, marks=7))
    for name, until, forwards in (("a", 0.2, 200), ("b", 0.5, 300), ("c", 1.0, 500)):
        phase = root.phase(name, until)
        assert phase.remaining == forwards
        assert phase.budget.limits() == {"forwards": forwards, "evaluations": forwards / 10}
        assert phase.budget.marks == 7
        phase.charge(forwards - 1, forwards // 10 - 1)
        assert not phase.exhausted
        phase.charge(1, 1)
        assert phase.exhausted
    assert root.exhausted


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=5), st.integers(1, 60))
def test_an_overshoot_shortens_the_next_phase_and_not_the_whole(shares, step):
    """Steps of any size: a phase ends at its cumulative share or less than a step behind it, or after its one step."""
    root, total, end = Ledger(Budget(forwards=sum(shares))), sum(shares), 0
    for index, share in enumerate(shares):
        end += share
        before, phase = root.forwards, root.phase(str(index), end / total)
        while not phase.exhausted:
            phase.charge(step)
        assert phase.forwards == root.forwards - before
        assert root.forwards < max(end, before) + step + 1e-6
        assert root.forwards > end - 1e-6


def test_a_phase_whose_share_is_gone_has_one_step_left():
    root = Ledger(Budget(forwards=100))
    root.phase("a", 0.2).charge(60)
    phase = root.phase("b", 0.5)
    assert not phase.exhausted
    phase.charge(1)
    assert phase.exhausted
    assert not root.exhausted


def test_a_phase_ends_with_the_whole():
    root = Ledger(Budget(forwards=100))
    inner = root.phase("a", 1.0).phase("b", 1.0)
    root.charge(100)
    assert inner.progress == 0
    assert inner.exhausted


def test_a_phase_that_comes_again_may_spend_what_is_left_until_then():
    root = Ledger(Budget(forwards=100))
    phase = root.phase("a", 0.3)
    phase.charge(30)
    root.phase("b", 0.5).charge(20)
    assert root.phase("a", 0.9) is phase
    assert root.active == "a"
    assert phase.budget.forwards == 30 + 40
    assert (phase.remaining, phase.exhausted) == (40, False)
    assert list(root.tree()) == ["a", "b"]


def test_path_and_current_follow_the_active_phases():
    root = Ledger(Budget(forwards=100))
    assert root.path == ""
    assert root.current is root
    inner = root.phase("a", 0.5).phase("b", 1.0)
    assert root.path == "a/b"
    assert root.current is inner
    last = root.phase("c", 1.0)
    assert root.path == "c"
    assert root.current is last


# -- saving -----------------------------------------------------------------------------------------------------------


def nested():
    """An account with a finished phase, and an active one with a phase of its own."""
    root = Ledger(Budget(forwards=1000, seconds=60, marks=5))
    root.phase("a", 0.2).charge(210, 3)
    root.spend_time(1.5)
    root.phase("b", 1.0).phase("c", 0.5).charge(90, 2)
    root.spend_time(0.25)
    return root


def accounts(ledger):
    """The ledger and all below it, the outer before the inner."""
    return [ledger, *(account for phase in ledger.phases.values() for account in accounts(phase))]


def test_a_saved_ledger_is_restored_with_its_phases():
    original = nested()
    copy = restored(original)
    assert copy.state_dict() == original.state_dict()
    assert copy.path == "b/c"
    for one, other in zip(accounts(copy), accounts(original), strict=True):
        assert (one.forwards, one.evaluations, one.seconds) == (other.forwards, other.evaluations, other.seconds)
        assert (one.progress, one.remaining, one.marks_passed) == (other.progress, other.remaining, other.marks_passed)


def test_a_restored_ledger_goes_on_as_the_original_does():
    original = nested()
    copy = restored(original)
    for ledger in (original, copy):
        ledger.current.charge(123, 4)
        ledger.spend_time(2.0)
        ledger.phase("d", 1.0).charge(7)
    assert copy.state_dict() == original.state_dict()
    assert copy.forwards == 210 + 90 + 123 + 7


def test_a_phase_that_exists_already_keeps_its_identity():
    fresh = Ledger(Budget(forwards=1000, seconds=60, marks=5))
    held = fresh.phase("a", 0.2)  # as a strategy does in setup, before the checkpoint is loaded
    original = nested()
    restored(original, into=fresh)
    assert fresh.phases["a"] is held
    assert held.forwards == 210
    held.charge(1)
    assert fresh.forwards == original.forwards + 1
    assert fresh.path == "b/c"


def test_a_limit_of_a_phase_is_the_saved_one():
    original = Ledger(Budget(forwards=1000))
    original.charge(150)  # spent before the phase begins, which makes its share smaller
    original.phase("a", 0.2)
    fresh = Ledger(Budget(forwards=1000))
    fresh.phase("a", 0.2)
    assert restored(original, into=fresh).phases["a"].remaining == 50


def test_a_saved_state_does_not_change_with_the_ledger():
    ledger = nested()
    before, text = ledger.state_dict(), json.dumps(ledger.state_dict())
    ledger.current.charge(5, 5)
    ledger.spend_time(1)
    assert json.dumps(before) == text


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_budget_without_a_limit_is_refused():
    sentence = "The budget has no limit: set budget.forwards, budget.seconds or budget.evaluations."
    with pytest.raises(ConfigError) as caught:
        Budget()
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", ["forwards", "seconds", "evaluations"])
@pytest.mark.parametrize("limit", [0, -1, float("inf"), float("nan")])
def test_a_limit_that_is_no_positive_number_is_refused(name, limit):
    with pytest.raises(ConfigError) as caught:
        Budget(**{name: limit})
    assert str(caught.value) == f"budget.{name} must be a positive number, but is {limit:g}."


def test_a_bad_limit_beside_a_good_one_is_refused():
    with pytest.raises(ConfigError, match=r"budget\.seconds must be a positive number, but is -5\."):
        Budget(forwards=10, seconds=-5)


@pytest.mark.parametrize("marks", [0, -3])
def test_marks_must_be_there(marks):
    with pytest.raises(ConfigError) as caught:
        Budget(forwards=1, marks=marks)
    assert str(caught.value) == f"budget.marks must be at least 1, but is {marks}."
