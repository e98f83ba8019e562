"""Critical points, barriers, and textbook methods from many starts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hybridopt.study import interpolating, many_starts
from hybridopt.study.critical_points import critical_points, random_field, share_of_minima


@pytest.mark.parametrize(
    ("n", "share"), [(1, 0.5), (2, (2 - math.sqrt(2)) / 4), (3, (math.pi - 2 * math.sqrt(2)) / (4 * math.pi))]
)
def test_shares_of_minima_are_those_of_small_matrices(n: int, share: float) -> None:
    assert share_of_minima(n) == pytest.approx(share, rel=1e-12)


def test_shares_of_minima_are_those_of_matrices_that_are_drawn() -> None:
    plain = torch.randn(200_000, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    positive = (torch.linalg.eigvalsh(plain + plain.mT) > 0).all(dim=1).double().mean()
    assert float(positive) == pytest.approx(share_of_minima(4), abs=4 * math.sqrt(share_of_minima(4) / 200_000))


def test_a_field_has_the_derivatives_that_it_says_and_variance_1() -> None:
    field = random_field(3, 2000, torch.Generator().manual_seed(0))
    x = 50 * torch.randn(4000, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values, slopes, curvatures = field(x)
    assert float(values.var()) == pytest.approx(1, abs=0.1)
    place = x[0].clone().requires_grad_()
    assert slopes[0].tolist() == pytest.approx(torch.autograd.grad(field(place[None])[0][0], place)[0].tolist())
    whole = torch.autograd.functional.hessian(lambda z: field(z[None])[0][0], x[0])
    assert torch.allclose(curvatures[0], torch.as_tensor(whole))


def test_the_search_finds_critical_points_of_all_kinds() -> None:
    def derivatives(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # (x^2 - 1)^2 in each of two dimensions
        values = (x.square() - 1).square().sum(dim=1)
        return values, 4 * x * (x.square() - 1), torch.diag_embed(12 * x.square() - 4)

    starts = 1.3 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = critical_points(derivatives, starts, 200, 1e-9).different(1e-6)
    assert dict(zip(found["indices"], found["values"], strict=True)) == {0.0: 0.0, 0.5: 1.0, 1.0: 2.0}
    assert found["failed"] == 0
    assert found["minima"] == [0.0]


def test_matched_units_are_those_of_a_network_that_was_shuffled() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(300, 5, generator=generator)
    targets = inputs[:, :3].argmax(dim=1)
    a = interpolating.trained(inputs, targets, 8, 0, 300)
    order = torch.randperm(8, generator=generator)
    b = [a[0][order], a[1][order], a[2][:, order], a[3]]
    assert interpolating.barrier(a, b, inputs, targets) > 0.01
    assert interpolating.barrier(a, interpolating.matched(a, b), inputs, targets) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        (many_starts.descent, [[0.1]]),
        (many_starts.stochastic, [[0.1], [1e-3]]),
        (many_starts.adam, [[0.1]]),
        (many_starts.evolution_strategy, [[0.1, 0.1]]),
        (many_starts.evolution(elitist=True), [[1.0]]),
        (many_starts.evolution(elitist=False), [[1.0]]),
        (many_starts.random_search, [[1000.0]]),
    ],
)
def test_methods_leave_a_saddle_within_their_budget(method: many_starts.Method, settings: list[list[float]]) -> None:
    def problem(starts: int, generator: torch.Generator) -> many_starts.Landscape:
        return many_starts.saddle(2, 1, starts, generator)

    due = many_starts.marks(600, 5)
    best, arrived = many_starts.tuned(method, settings, problem, due, 10, 0)
    assert best == settings[0]
    assert arrived.shape == (5, 10)
    assert bool(arrived[-1].all())
    assert not bool(many_starts.tuned(method, settings, problem, [1.0], 10, 0)[1].any())
