"""What stands for failures, and ranks of equal losses."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from hybridopt.toolbox.fitness import averaged, bounded, failures_last, mean_ranks

LOSSES = st.lists(st.floats(-1e6, 1e6, width=32) | st.sampled_from([math.inf, math.nan, -math.inf]), min_size=1)


@settings(deadline=None)
@given(LOSSES)
def test_finite_losses_stay_and_failures_are_among_the_worst(values):
    losses = torch.tensor(values)
    finite = torch.isfinite(losses)
    for rule in (bounded, failures_last):
        told = rule(losses)
        assert torch.isfinite(told).all()
        assert torch.equal(told[finite], losses[finite])
        if finite.any():
            assert (told[~finite] >= losses[finite].max()).all()


@settings(deadline=None)
@given(LOSSES)
def test_failures_are_equal_and_behind_all_others(values):
    told, finite = failures_last(torch.tensor(values)), torch.isfinite(torch.tensor(values))
    assert len(told[~finite].unique()) <= 1
    if finite.any() and not finite.all():
        assert told[~finite].min() > told[finite].max()


@pytest.mark.parametrize("rule", [bounded, failures_last])
def test_nothing_but_failures(rule):
    losses = torch.tensor([math.inf, math.nan])
    assert rule(losses).tolist() == [0, 0]
    assert rule(losses, 5.0).tolist() == [5, 5]


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1))
def test_equal_values_share_their_mean_rank(values):
    ranks = mean_ranks(torch.tensor(values))
    assert ranks.tolist() == (rankdata(values) - 1).tolist()


def test_each_row_is_ranked_by_itself():
    rows = torch.tensor([[3.0, 1.0, 2.0], [0.0, 0.0, -1.0]])
    assert mean_ranks(rows, torch.float64).tolist() == [[2, 0, 1], [1.5, 1.5, 0]]
    assert mean_ranks(rows.T.contiguous().T).tolist() == [[2, 0, 1], [1.5, 1.5, 0]]


def test_averages_begin_with_the_first_loss_and_begin_again_after_a_failure():
    former = torch.tensor([1.0, math.inf, math.nan, 1.0])
    losses = torch.tensor([2.0, 2.0, 2.0, math.inf])
    assert averaged(former, losses, 0.25).tolist() == [1.25, 2.0, 2.0, math.inf]
