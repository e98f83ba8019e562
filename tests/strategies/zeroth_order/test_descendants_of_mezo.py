"""Descendants of MeZO: what their papers say of the estimates, on quadratics, with the same noise by hand."""

from __future__ import annotations

import math

import pytest
import torch
from small_problems import make_strategy
from torch import Tensor

from hybridopt.core.search import Search
from hybridopt.engine.population import materialize

SHAPES = {"W": torch.Size((6, 5)), "b": torch.Size((6,))}
D = 36


def search(name: str, x0: Tensor, seed: int = 0, **settings: object) -> Search:
    """A search by name that has started at x0, with step sizes as they are set."""
    found = make_strategy(name, schedule="constant", probe=0, **settings)
    found.generator, found.horizon, found.shapes = torch.Generator().manual_seed(seed), 10_000, SHAPES
    found.start(x0.clone())
    return found


def quadratic(curvature: Tensor):
    """x -> sum of curvature x^2 / 2, of members (n, d)."""
    return lambda x: (curvature * x**2).sum(1) / 2


def step(found: Search, losses) -> Tensor:
    """One turn; by how much it moves."""
    before, population = found.recommend().clone(), found.ask()
    found.tell(population, losses(materialize(population)))
    return found.recommend() - before


# -- LOZO -------------------------------------------------------------------------------------------------------------


def test_lozo_estimates_the_gradient_in_the_mean() -> None:
    generator = torch.Generator().manual_seed(1)
    curvature, x = torch.rand(D, generator=generator), torch.randn(D, generator=generator)
    steps = torch.stack([-step(search("lozo", x, seed, lr=1.0), quadratic(curvature)) for seed in range(3000)])
    error = steps.std(0) / math.sqrt(len(steps))
    assert ((steps.mean(0) - curvature * x).abs() < 5 * error).all()
    assert error.max() < 0.2 * (curvature * x).abs().max()


def test_lozo_stays_in_one_subspace_for_nu_steps_and_then_takes_another() -> None:
    lozo = search("lozo", torch.randn(D, generator=torch.Generator().manual_seed(1)), rank=2, keep=3, lr=0.01)
    moves = [step(lozo, quadratic(torch.ones(D)))[:30].view(6, 5) for _ in range(6)]
    assert [int(torch.linalg.matrix_rank(move, rtol=1e-3)) for move in moves] == [2] * 6
    assert torch.linalg.matrix_rank(torch.cat(moves[:3]), rtol=1e-3) == 2  # the rows span what V does
    assert torch.linalg.matrix_rank(torch.cat(moves[:4]), rtol=1e-3) == 4


def test_lozo_with_momentum_is_the_moving_average_of_what_it_would_do_without() -> None:
    plain, averaged = (
        search("lozo", torch.ones(D), keep=100, lr=lr, momentum=beta) for lr, beta in ((1e-6, 0.0), (1e-6, 0.9))
    )
    average = torch.zeros(D)
    for _ in range(8):  # so small steps that both see the same losses
        average = 0.9 * average + 0.1 * step(plain, quadratic(torch.ones(D))) * 1e6
        assert torch.allclose(step(averaged, quadratic(torch.ones(D))) * 1e6, average, atol=0.5, rtol=0.05)


def test_momentum_is_carried_over_to_another_subspace_as_its_projection() -> None:
    lozo = search("lozo", torch.ones(D), rank=5, keep=1, lr=0.01, momentum=0.9)
    step(lozo, quadratic(torch.ones(D)))
    N, V = lozo._split(lozo.N)["W"].clone(), lozo._V(lozo.subspace)["W"]
    lozo._renew()
    now = lozo._V(lozo.subspace)["W"]
    assert not torch.equal(V, now)
    assert torch.allclose(lozo._split(lozo.N)["W"], N @ V.T @ now / 5, atol=1e-5)


# -- HiZOO ------------------------------------------------------------------------------------------------------------


def test_a_step_of_hizoo_is_its_equations() -> None:
    curvature, x = torch.rand(D, generator=torch.Generator().manual_seed(1)) + 0.5, torch.ones(D)
    hizoo = search("hizoo", x, lr=1e-3, epsilon=0.01, smoothing=0.1)
    hizoo.curvatures.copy_(torch.linspace(1, 3, D))
    sigma, losses = 1 / torch.linspace(1, 3, D), quadratic(curvature)
    population = hizoo.ask()
    u = (population.materialize()[0] - x) / 0.01 / sigma.sqrt()
    told = losses(population.materialize())
    hizoo.tell(population, told)
    slope, second = (told[0] - told[1]) / 0.02, told[0] + told[1] - 2 * told[2]
    assert torch.allclose(hizoo.theta, x - 1e-3 * slope * sigma.sqrt() * u, atol=1e-5)
    estimate = (second / (2 * 0.01**2) * u**2 / sigma).abs()
    assert torch.allclose(hizoo.curvatures, 0.9 / sigma + 0.1 * estimate, rtol=1e-3)


def test_the_curvatures_of_hizoo_come_to_rest_at_those_of_the_loss() -> None:
    """At (d + 2) / 2 times them, as the docstring derives it."""
    curvature = torch.tensor([0.3, 1.0, 3.0], dtype=torch.float64)
    hizoo = search("hizoo", torch.zeros(3, dtype=torch.float64), lr=1e-9, smoothing=0.01)
    seen = []
    for _ in range(6000):
        step(hizoo, quadratic(curvature))
        seen.append(hizoo.curvatures.clone())
    ratio = torch.stack(seen[1000:]).mean(0) / curvature
    assert torch.allclose(ratio, torch.full_like(ratio, (3 + 2) / 2), rtol=0.15)


# -- MeZO-SVRG --------------------------------------------------------------------------------------------------------


def test_at_the_anchor_the_corrected_estimate_does_not_depend_on_the_batch() -> None:
    x = torch.ones(D)
    svrg = search("mezo_svrg", x, anchor_batches=1, lr=0.1, anchor_lr=1e-20)
    step(svrg, quadratic(torch.ones(D)))
    z = direction(svrg)
    moves = []
    for batch in (1.0, 5.0, -3.0):  # losses as different as can be
        svrg.theta.copy_(x)
        for move in (0, 1):
            svrg.context.move = move
            population = svrg.ask()
            svrg.tell(population, quadratic(batch * torch.ones(D))(population.materialize()))
        moves.append(svrg.theta - x)
        svrg.t.fill_(1)
    expected = -0.1 * float(svrg.slope) * z
    assert all(torch.allclose(move, expected, rtol=1e-4, atol=1e-5) for move in moves)


def direction(svrg: Search) -> Tensor:
    """The anchor's, from its seed."""
    return (svrg._pair(torch.zeros(D), int(svrg.seed)).materialize()[0]) / svrg.epsilon


def test_an_anchor_is_a_mean_over_batches_and_the_weights_stand_still_meanwhile() -> None:
    svrg = search("mezo_svrg", torch.ones(D), anchor_batches=3, anchor_lr=0.01, epsilon=0.01)
    z, slopes = direction(svrg), [float(scale * direction(svrg).sum()) for scale in (1.0, 2.0, 6.0)]
    assert svrg.moves_per_step == 1
    for scale in (1.0, 2.0):
        assert not step(svrg, quadratic(scale * torch.ones(D))).any()
    moved = step(svrg, quadratic(6.0 * torch.ones(D)))
    assert torch.allclose(moved, -0.01 * sum(slopes) / 3 * z, rtol=1e-2, atol=1e-3)
    assert svrg.moves_per_step == 2


def test_a_full_batch_needs_no_mean_and_each_period_another_anchor() -> None:
    svrg = search("mezo_svrg", torch.ones(D), anchor_batches=7, period=3)
    svrg.context.exact = True
    changed = []
    for _ in range(7):
        before = svrg.anchor.clone()
        for move in range(svrg.moves_per_step):
            svrg.context.move = move
            step(svrg, quadratic(torch.ones(D)))
        changed.append(not torch.equal(svrg.anchor, before))
    assert changed == [False, False, True, False, False, True, False]


# -- AdaMeZO ----------------------------------------------------------------------------------------------------------


def test_the_moments_of_adamezo_are_averages_over_its_window() -> None:
    """Of the estimates of the last h steps, as explicit vectors; the step is along their quotient."""
    adamezo = search("adamezo", torch.ones(D), window=4, lr=0.01, beta1=0.7, beta2=0.9, epsilon=0.01)
    estimates: list[Tensor] = []
    for _ in range(7):
        x, population = adamezo.theta.clone(), adamezo.ask()
        members = population.materialize()
        losses = quadratic(torch.ones(D))(members)
        estimates.append((losses[0] - losses[1]) / 0.02 * (members[0] - members[1]) / 0.02)
        adamezo.tell(population, losses)
        last = torch.stack(estimates[-4:])
        age = torch.arange(len(last)).flip(0).float()
        first, second = (beta**age / (beta**age).sum() for beta in (0.7, 0.9))
        m, v = first @ last, second @ last**2
        ((_, found_m, found_v),) = adamezo.moments()
        assert torch.allclose(found_m, m, rtol=1e-2, atol=1e-2)
        assert torch.allclose(found_v, v, rtol=1e-2, atol=1e-2)
        assert torch.allclose(adamezo.theta, x - 0.01 * found_m / found_v.sqrt(), atol=1e-5)


# -- ZO-Muon ----------------------------------------------------------------------------------------------------------


def test_a_step_of_zo_muon_is_the_orthogonalised_estimate_in_its_subspace() -> None:
    slope = torch.randn(D, generator=torch.Generator().manual_seed(1))
    muon = search("zo_muon", torch.zeros(D), queries=3, rank=2, lr=0.1)
    population = muon.ask()
    members = population.materialize()
    noise, losses = members[1:] / 1e-3, members @ slope
    muon.tell(population, losses)
    P, g = muon._P["W"], ((noise @ slope)[:, None] * noise).mean(0)
    U, s, V = torch.linalg.svd(P.T @ g[:30].view(6, 5))
    wanted = P @ U @ V[:2]
    assert (s > 0).all()
    assert torch.allclose(muon.theta[:30].view(6, 5), -0.1 * wanted / wanted.square().mean().sqrt(), atol=1e-3)
    assert torch.allclose(muon.theta[30:], -0.1 * g[30:] / g[30:].square().mean().sqrt(), atol=1e-3)


def test_the_subspace_of_zo_muon_is_orthonormal_and_kept_for_a_while() -> None:
    muon, seen = search("zo_muon", torch.ones(D), rank=2, keep=2), []
    for _ in range(4):
        step(muon, quadratic(torch.ones(D)))
        seen.append(muon._P["W"])
    assert torch.allclose(seen[0].T @ seen[0], torch.eye(2), atol=1e-6)
    assert [torch.equal(seen[i], seen[i + 1]) for i in range(3)] == [True, False, True]


def test_perturbations_of_zo_muon_have_the_width_that_is_set() -> None:
    muon = search("zo_muon", torch.zeros(D), queries=4000, epsilon=0.5)
    assert float(muon.ask().materialize()[1:].std()) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("name", ["lozo", "mezo_svrg", "adamezo", "zo_muon"])
def test_a_failure_moves_nothing(name: str) -> None:
    found = search(name, torch.ones(D), **({"anchor_batches": 1} if name == "mezo_svrg" else {}))
    assert not step(found, lambda x: torch.full((len(x),), torch.inf)).any()
