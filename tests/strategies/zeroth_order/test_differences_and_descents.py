"""Finite differences along coordinates, and MeZO's momentum and Adam."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_problems import linear_problem, make_strategy, oracle_for, run_steps

from hybridopt.errors import ConfigError


def search(name: str, x0: torch.Tensor, **settings: object):
    found = make_strategy(name, **settings)
    found.generator, found.horizon = torch.Generator().manual_seed(0), 10_000
    found.start(x0)
    return found


@given(st.integers(1, 8), st.integers(0, 2**31))
def test_differences_of_a_quadratic_are_its_gradient_up_to_mu(d: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(d, generator=generator, dtype=torch.float64)
    curvature = torch.rand(d, generator=generator, dtype=torch.float64)
    cfd = search("coordinate_finite_differences", x, mu=1e-3)
    population = cfd.ask()
    assert len(population) == d + 1
    differences = cfd.differences((curvature * population**2).sum(1))
    assert torch.allclose(differences, 2 * curvature * x + curvature * 1e-3, atol=1e-9)


def test_a_block_of_coordinates_costs_as_many_losses_and_moves_no_other() -> None:
    cfd = search("coordinate_finite_differences", torch.ones(10), coordinates=3)
    moved = set()
    for _ in range(20):
        before = cfd.theta.clone()
        population = cfd.ask()
        assert len(population) == 4
        cfd.tell(population, (population**2).sum(1))
        changed = (cfd.theta != before).nonzero().flatten().tolist()
        assert set(changed) <= set(cfd._chosen.tolist())
        moved |= set(changed)
    assert moved == set(range(10))


@pytest.mark.parametrize("settings", [{}, {"descent": "sgd", "lr": 0.2}, {"coordinates": 2}])
def test_finite_differences_solve_linear_regression(settings: dict[str, object]) -> None:
    model, batch, wanted = linear_problem()
    run_steps(
        make_strategy("coordinate_finite_differences", **settings), oracle_for(model, forwards=60 * 1500), batch, 10_000
    )
    assert torch.allclose(model.weight.detach()[0], wanted, atol=0.05)


def test_candidates_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="100000 candidates of 100000 parameters do not fit into memory: set strat"):
        search("coordinate_finite_differences", torch.zeros(100_000), coordinates=None)


@pytest.mark.parametrize("descent", ["sgd", "momentum", "adam"])
def test_mezo_descends_in_each_way(descent: str) -> None:
    model, batch, wanted = linear_problem()
    lr = {"sgd": 0.05, "momentum": 0.005, "adam": 0.02}[descent]
    run_steps(make_strategy("mezo", descent=descent, lr=lr), oracle_for(model, forwards=60 * 3000), batch, 10_000)
    assert torch.allclose(model.weight.detach()[0], wanted, atol=0.1)


def test_momentum_is_that_of_torch() -> None:
    """The estimated gradients through torch.optim.SGD end at the same place."""
    x0 = torch.arange(5.0)
    mezo = search("mezo", x0.clone(), descent="momentum", lr=0.01, schedule="constant")
    peer = torch.nn.Parameter(x0.clone())
    optimizer = torch.optim.SGD([peer], lr=0.01, momentum=0.9)
    for _ in range(10):
        population = mezo.ask()
        losses = (population.materialize() ** 2).sum(1)
        noise = (population.materialize()[0] - mezo.theta) / 1e-3
        peer.grad = mezo.slopes(losses)[0] * noise
        mezo.tell(population, losses)
        optimizer.step()
        assert torch.allclose(mezo.theta, peer.detach(), atol=1e-2)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("coordinate_finite_differences", {"mu": 0.0}, "strategy.mu must be a positive number, but is 0."),
        ("coordinate_finite_differences", {"coordinates": 0}, "strategy.coordinates must be at least 1, but is 0."),
        ("mezo", {"momentum": 1.0}, "strategy.momentum must lie in [0, 1), but is 1."),
    ],
)
def test_numbers_out_of_range_are_refused(name: str, settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_strategy(name, **settings)
    assert str(caught.value).startswith(sentence)
