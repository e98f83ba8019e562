"""Ensemble Kalman inversion: it moves in its ensemble's span, solves linear regression, and needs no gradient."""

from __future__ import annotations

import pytest
import torch
from small_problems import begin, deploy, linear_problem, make_strategy, oracle_for
from torch import nn

from hybridopt.core.compatibility import check_compatible
from hybridopt.errors import ConfigError
from hybridopt.objectives.zero_one import ZeroOne


def eki(**settings: object):
    return make_strategy("ensemble_kalman_inversion", **settings)


def test_it_solves_linear_regression() -> None:
    model, batch, wanted = linear_problem()
    oracle, strategy = oracle_for(model), eki(ensemble=50, sigma=1.0, h0=1.0, redraw_every=30, final_sigma=0.01)
    begin(strategy, oracle, batch)
    while not oracle.exhausted:
        strategy.step(oracle, batch)
        if oracle.ledger.evaluations > 50 * 600:
            break
    deploy(strategy, oracle)
    assert torch.allclose(model.weight.detach()[0], wanted, atol=0.05)


def test_without_redraws_it_stays_in_the_span_of_its_ensemble() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    _, batch, _ = linear_problem()
    oracle, strategy = oracle_for(model), eki(ensemble=6, redraw_every=0)
    begin(strategy, oracle, batch)
    first = strategy.members.clone()
    for _ in range(20):
        strategy.step(oracle, batch)
    span = (first[1:] - first[0]).T.double()
    moved = (strategy.members.mean(dim=0) - first[0]).double()[:, None]
    rest = moved - span @ torch.linalg.lstsq(span, moved).solution
    assert moved.norm() > 1e-2
    assert rest.norm() < 1e-4 * moved.norm()


def test_redraws_leave_the_span() -> None:
    model, batch, _ = linear_problem()
    oracle, strategy = oracle_for(model, forwards=60 * 2 * 30), eki(ensemble=2, redraw_every=5)
    begin(strategy, oracle, batch)
    first = strategy.members.clone()
    while not oracle.exhausted:
        strategy.step(oracle, batch)
    span = (first[1] - first[0])[:, None]
    moved = (strategy.members.mean(dim=0) - first[0])[:, None]
    assert (moved - span @ torch.linalg.lstsq(span, moved).solution).norm() > 1e-3


def test_a_network_without_a_gradient_learns() -> None:
    class Step(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x > 0).float()

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 16), Step(), nn.Linear(16, 1))
    _, batch, _ = linear_problem()
    oracle, strategy = oracle_for(model), eki(ensemble=100)
    begin(strategy, oracle, batch)
    before = ((model(batch[0]) - batch[1]) ** 2).mean()
    for _ in range(100):
        strategy.step(oracle, batch)
    deploy(strategy, oracle)
    assert ((model(batch[0]) - batch[1]) ** 2).mean() < 0.5 * before


def test_a_loss_without_a_derivative_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs the derivative of the loss by the outputs, and the objective ZeroOne"):
        check_compatible(ZeroOne(), eki(), None, None)


def test_an_ensemble_grows_from_redraw_to_redraw() -> None:
    model, batch, wanted = linear_problem()
    oracle, strategy = (
        oracle_for(model, forwards=60 * 40 * 100),
        eki(ensemble=10, final_ensemble=40, redraw_every=20, sigma=1.0),
    )
    begin(strategy, oracle, batch)
    sizes = []
    while not oracle.exhausted:
        strategy.step(oracle, batch)
        sizes.append(len(strategy.members))
    assert sizes == sorted(sizes)
    assert sizes[0] == 10
    assert 30 < sizes[-1] <= 40
    deploy(strategy, oracle)
    assert torch.allclose(model.weight.detach()[0], wanted, atol=0.1)


def test_momentum_looks_ahead_by_a_share_of_the_last_move() -> None:
    model, batch, _ = linear_problem()
    oracle, strategy = oracle_for(model), eki(ensemble=8, redraw_every=0, momentum=0.5)
    begin(strategy, oracle, batch)
    first = strategy.members.clone()
    strategy.step(oracle, batch)
    second = strategy.members.clone()
    assert torch.allclose(strategy._ahead(), second + 0.5 * (second - first))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"final_ensemble": 300, "redraw_every": 0}, "strategy.final_ensemble is 300, .* strategy.redraw_every is 0"),
        ({"momentum": 1.0}, "strategy.momentum must lie in"),
    ],
)
def test_numbers_out_of_range_are_refused(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        eki(**settings)
