"""The probe of curvature, and step sizes that it allows."""

from __future__ import annotations

import pytest
import torch
from small_problems import begin, deploy, make_strategy, oracle_for, run_steps
from torch import Tensor, nn

from hybridopt.toolbox.curvature import DISTANCES, RISE, STABLE, Curvature

H = torch.linspace(0, 2, 50)


def measured(x0: Tensor, losses, probe: int = 2, horizon: int = 10_000) -> Curvature:
    """A probe of a loss of members (n, d)."""
    curvature = Curvature(probe)
    curvature.start(x0)
    population = curvature.ask(x0, torch.Generator().manual_seed(0), horizon)
    if population is not None:
        curvature.tell(population, losses(population.materialize()))
    return curvature


def bowl(x: Tensor) -> Tensor:
    """A quadratic of the Hessian H, and a slope."""
    return (H * x**2).sum(1) / 2 + x.sum(1)


def test_of_a_quadratic_it_is_the_trace_wherever_it_is_and_whatever_the_slope() -> None:
    curvature = measured(torch.linspace(-1, 3, 50), bowl, probe=200)
    assert float(curvature.trace) == pytest.approx(float(H.sum()), rel=0.1)
    assert curvature.rate(1.0) == pytest.approx(STABLE / float(curvature.trace))
    assert curvature.rate(1e-6) == 1e-6


def test_walls_around_a_flat_place_count() -> None:
    curvature = measured(torch.ones(50), lambda x: 1 + ((x - 1).square().mean(1) > 0.5).float())
    assert float(curvature.trace) == pytest.approx(2.0)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_distances_at_which_the_loss_fails_do_not_count(value: float) -> None:
    whole = measured(torch.ones(50), bowl)
    spoilt = measured(torch.ones(50), lambda x: torch.where((x - 1).abs().amax(1) > 1, value, bowl(x)))
    assert 0 < float(spoilt.trace) <= float(whole.trace)
    assert float(measured(torch.ones(50), lambda x: torch.full((len(x),), value)).trace) == 0


def test_a_step_of_the_size_that_it_allows_raises_the_loss_by_little() -> None:
    curvature = measured(torch.full((50,), 0.3), bowl, probe=200)
    signs = torch.where(torch.rand(5000, 50, generator=torch.Generator().manual_seed(1)) < 0.5, -1.0, 1.0)
    size, start = curvature.size(1e9), torch.full((1, 50), 0.3)
    rise = float((bowl(start + size * signs) - bowl(start)).mean() / bowl(start))
    assert rise == pytest.approx(RISE, rel=0.3)


@pytest.mark.parametrize(("probe", "horizon"), [(0, 10_000), (2, 4 * (1 + 4 * len(DISTANCES)) - 1)])
def test_without_it_or_without_a_budget_for_it_nothing_is_asked_and_nothing_bounded(probe: int, horizon: int) -> None:
    curvature = measured(torch.ones(50), bowl, probe, horizon)
    assert curvature.rate(0.7) == curvature.size(0.7) == 0.7


def trained() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """A network that is the best there is for its data, in a valley so narrow that steps of usual length leave it."""
    generator = torch.Generator().manual_seed(0)
    x = 5 * torch.randn(200, 40, generator=generator)
    y = x @ torch.randn(40, 1, generator=generator) + torch.randn(200, 1, generator=generator)
    model = nn.Linear(40, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.linalg.lstsq(x, y).solution.mT)
    return model, (x, y)


def error(model: nn.Module, batch: tuple[Tensor, Tensor]) -> float:
    return float(nn.functional.mse_loss(model(batch[0]), batch[1]).detach())


@pytest.mark.parametrize(
    "name", ["mezo", "spsa", "forward_gradient", "openai_es", "lozo", "hizoo", "mezo_svrg", "adamezo", "zo_muon"]
)
def test_defaults_keep_a_trained_network(name: str) -> None:
    model, batch = trained()
    before = error(model, batch)
    oracle = oracle_for(model, forwards=1e5)
    strategy = begin(make_strategy(name), oracle, batch)
    while not oracle.exhausted:
        strategy.step(oracle, batch)
    deploy(strategy, oracle)
    assert error(model, batch) < 1.1 * before


def test_without_the_probe_it_is_lost() -> None:
    model, batch = trained()
    run_steps(make_strategy("mezo", probe=0), oracle_for(model, forwards=1e5), batch, 10_000)
    assert not error(model, batch) < 1e3
