"""The ensemble Kalman filter: one matrix in the ensemble's space is the sequence of corrections in weight space."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_problems import linear_problem, make_strategy, oracle_for, run_steps

from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.strategies.kalman.ensemble_kalman_filter import assimilation, observations


def one_after_the_other(
    members: torch.Tensor, outputs: torch.Tensor, observed: torch.Tensor, gamma: float
) -> torch.Tensor:
    """U += C_up (C_pp + gamma I)^-1 (y - g) for each sample, as the paper writes it."""
    for g, y in zip(outputs.transpose(0, 1), observed, strict=True):
        u, p = members - members.mean(0), g - g.mean(0)
        c_up, c_pp = u.T @ p / len(members), p.T @ p / len(members)
        gain = c_up @ torch.linalg.inv(c_pp + gamma * torch.eye(p.shape[1], dtype=p.dtype))
        members = members + (y - g) @ gain.T
    return members


@given(st.integers(0, 2**31), st.integers(2, 6), st.integers(1, 5), st.integers(1, 3), st.floats(1e-2, 1.0))
@settings(max_examples=30)
def test_it_is_what_samples_do_one_after_the_other(seed: int, j: int, b: int, c: int, gamma: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    members = torch.randn(j, 7, generator=generator, dtype=torch.float64)
    outputs = torch.randn(j, b, c, generator=generator, dtype=torch.float64)
    observed = torch.randn(b, c, generator=generator, dtype=torch.float64)
    change = assimilation(outputs, observed, gamma)
    moved = members + change @ (members - members.mean(0))
    assert torch.allclose(moved, one_after_the_other(members, outputs, observed, gamma), atol=1e-6)


def test_it_solves_linear_regression() -> None:
    model, batch, wanted = linear_problem()
    run_steps(make_strategy("ensemble_kalman_filter", ensemble=100, sigma=1.0), oracle_for(model), batch, 20)
    assert torch.allclose(model.weight.detach()[0], wanted, atol=0.1)


def test_a_member_that_fails_stays_where_it_is() -> None:
    outputs = torch.randn(4, 3, 2, dtype=torch.float64)
    outputs[1] = torch.nan
    change = assimilation(outputs, torch.zeros(3, 2), 0.1)
    assert torch.isfinite(change).all()
    assert not change[1].any()


def test_classes_are_observed_one_hot() -> None:
    assert observations(torch.zeros(2, 3), torch.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_a_classifier_learns() -> None:
    torch.manual_seed(0)
    x = torch.randn(100, 4)
    batch = (x, (x[:, 0] > 0).long())
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    run_steps(make_strategy("ensemble_kalman_filter", ensemble=50), oracle_for(model, CrossEntropy()), batch, 5)
    assert (model(x).argmax(1) == batch[1]).float().mean() > 0.9
