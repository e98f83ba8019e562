"""Which readings are dominated, and which member of a front is chosen."""

import moocore
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hybridopt.errors import ConfigError
from hybridopt.toolbox.fronts import Choice, distinct, nondominated, normalised

READINGS = arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(2, 4)), elements=st.integers(0, 5).map(float))
NAMES = ("loss", "size")
BENT = torch.tensor([[0.0, 9.0], [0.1, 2.0], [0.5, 1.0], [1.0, 0.0]])


@given(READINGS)
def test_nondominated_members_are_those_of_moocore(readings):
    found = nondominated(torch.tensor(readings)).numpy()
    np.testing.assert_array_equal(found, moocore.is_nondominated(readings, keep_weakly=True))


@given(READINGS)
def test_distinct_members_are_the_first_of_their_kind(readings):
    kept = torch.tensor(readings)[distinct(torch.tensor(readings))].numpy()
    assert [tuple(row) for row in kept] == list(dict.fromkeys(map(tuple, readings)))


def test_a_failure_is_dominated_unless_all_have_failed():
    readings = torch.tensor([[1.0, torch.inf], [2.0, 2.0], [torch.nan, 0.0]])
    assert nondominated(readings).tolist() == [False, True, False]
    assert nondominated(readings[[0]]).tolist() == [True]


@given(READINGS)
def test_scaled_readings_span_the_front(readings):
    scaled = normalised(torch.tensor(readings))
    assert bool(((scaled >= 0) & (scaled <= 1)).all())
    assert bool((scaled.amin(0) == 0).all())


@pytest.mark.parametrize(
    ("choice", "member"),
    [
        (Choice(), 1),
        (Choice("lexicographic"), 0),
        (Choice("lexicographic", tolerance=0.5), 2),
        (Choice("weights", {"size": 1.0}), 3),
        (Choice("weights", {"loss": 1.0, "size": 0.01}), 0),
    ],
)
def test_each_rule_chooses_what_it_says(choice, member):
    assert choice.of(BENT, NAMES) == member
    behind_a_failure = torch.cat([torch.tensor([[-5.0, torch.inf]]), BENT])
    assert choice.of(behind_a_failure, NAMES) == member + 1


def test_the_only_member_is_chosen():
    assert Choice().of(torch.tensor([[torch.inf, torch.inf]]), NAMES) == 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rule": "best"}, "choice must be"),
        ({"rule": "weights"}, "set both, or neither"),
        ({"weights": {"loss": 1.0}}, "set both, or neither"),
        ({"rule": "weights", "weights": {"loss": -1.0}}, r"weights.loss must be at least 0"),
    ],
)
def test_what_is_no_rule_is_refused(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Choice(**settings)


def test_weights_of_what_is_no_objective_are_refused():
    with pytest.raises(ConfigError, match=r"weights.sise is none of the objectives. Did you mean|size"):
        Choice("weights", {"sise": 1.0}).check(NAMES)
