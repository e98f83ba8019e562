"""Our own algorithms against other implementations: to rounding where the noise is the same, else by medians."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from small_problems import make_strategy, oracle_for, run_steps
from torch import Tensor, nn

from hybridopt.core.search import Search

library = pytest.importorskip("hybridopt_evotorch.library", reason="hybridopt-evotorch is not installed")
distributions = library.imported("evotorch.distributions")  # without what evotorch says when it is imported

D = 8


def stretched(x: Tensor) -> Tensor:
    """A bowl, a hundred times steeper in one direction than in another, (n, d) -> (n,)."""
    return (torch.logspace(0, 2, x.shape[1], dtype=x.dtype) * (x - 1).square()).sum(dim=1)


def begun(name: str, **settings: object) -> Search:
    """A search that starts at zero, in float64."""
    search = make_strategy(name, **settings)
    search.generator, search.horizon = torch.Generator().manual_seed(0), 10_000
    search.start(torch.zeros(D, dtype=torch.float64))
    return search


def test_snes_is_evotorchs() -> None:
    ours, rate = begun("snes", popsize=20, sigma=0.5), (3 + math.log(D)) / (5 * math.sqrt(D))
    theirs = distributions.ExpSeparableGaussian(
        {"mu": torch.zeros(D, dtype=torch.float64), "sigma": torch.full((D,), 0.5, dtype=torch.float64)}
    )
    for _ in range(30):
        population = ours.ask()
        losses = stretched(population)
        ours.tell(population, losses)
        gradients = theirs.compute_gradients(population, losses, objective_sense="min", ranking_method="nes")
        theirs = theirs.update_parameters(gradients, learning_rates={"mu": 1.0, "sigma": rate})
        torch.testing.assert_close(ours.mu, theirs.mu, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(ours.widths, theirs.sigma, rtol=1e-9, atol=1e-12)


def test_cem_is_evotorchs_but_for_the_degrees_of_freedom() -> None:
    ours = begun("cem", popsize=20, elite=0.25, sigma=0.5, extra=0.0)
    for _ in range(10):
        theirs = distributions.SeparableGaussian({"mu": ours.mu, "sigma": ours.widths, "parenthood_ratio": 0.25})
        population = ours.ask()
        losses = stretched(population)
        ours.tell(population, losses)
        gradients = theirs.compute_gradients(population, losses, objective_sense="min")
        theirs = theirs.update_parameters(gradients)
        torch.testing.assert_close(ours.mu, theirs.mu, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(ours.widths, theirs.sigma * math.sqrt(4 / 5), rtol=1e-9, atol=1e-12)


def test_lm_ma_es_is_the_papers_algorithm_step_by_step() -> None:
    """Algorithm 1 of Loshchilov et al. 2019, one sample and one direction after the other."""
    ours, n, samples, directions = begun("lm_ma_es", popsize=10, directions=6, sigma=0.5), D, 10, 6
    raw = np.array([math.log(samples / 2 + 0.5) - math.log(i) for i in range(1, samples // 2 + 1)])
    weights = raw / raw.sum()
    effective = 1 / np.sum(weights**2)
    c_s = min(1.0, 2 * samples / n)
    y, sigma, path, matrix = np.zeros(n), 0.5, np.zeros(n), np.zeros((directions, n))
    for t in range(40):
        population = ours.ask()
        losses = stretched(population)
        steps = []
        for z in ours._z.numpy():
            d = z.copy()
            for j in range(min(t, directions)):
                c_d = min(1.0, 1 / (1.5**j * n))
                d = (1 - c_d) * d + c_d * matrix[j] * (matrix[j] @ d)
            steps.append((z, d))
        np.testing.assert_allclose(population, [y + sigma * d for _, d in steps], rtol=1e-9)
        best = [steps[i] for i in np.argsort(losses.numpy(), kind="stable")[: samples // 2]]
        mean = sum(w * z for w, (z, _) in zip(weights, best, strict=True))
        y = y + sigma * sum(w * d for w, (_, d) in zip(weights, best, strict=True))
        path = (1 - c_s) * path + math.sqrt(effective * c_s * (2 - c_s)) * mean
        for j in range(directions):
            c_c = min(1.0, samples / (4.0**j * n))
            matrix[j] = (1 - c_c) * matrix[j] + math.sqrt(effective * c_c * (2 - c_c)) * mean
        sigma *= math.exp(c_s / 2 * (path @ path / n - 1))
        ours.tell(population, losses)
        np.testing.assert_allclose(ours.recommend(), y, rtol=1e-9)
        np.testing.assert_allclose(float(ours.width), sigma, rtol=1e-9)


class Valley(nn.Module):
    """Residuals of Rosenbrock's valley, (1, 2 (d - 1))."""

    def __init__(self, x0: Tensor):
        super().__init__()
        self.x = nn.Parameter(x0.clone())

    def forward(self, inputs: Tensor) -> Tensor:
        residuals = torch.cat([10 * (self.x[1:] - self.x[:-1].square()), 1 - self.x[:-1]])
        return residuals + 0 * inputs


def valley(x: np.ndarray) -> np.ndarray:
    """The same residuals."""
    return np.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


def starts(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [2 * torch.rand(D, generator=generator, dtype=torch.float64) for _ in range(count)]


def ends(name: str, x0: Tensor, steps: int, **settings: object) -> tuple[float, int]:
    """The sum of squares where a strategy ends on the full batch, and what it asked for."""
    model, batch = Valley(x0), (torch.zeros(1, 2 * (D - 1), dtype=torch.float64),) * 2
    oracle = oracle_for(model, forwards=1e9)
    oracle.feed.unchanged = True
    run_steps(make_strategy(name, **settings), oracle, batch, steps)
    return float(np.sum(valley(model.x.detach().numpy()) ** 2)), oracle.ledger.evaluations


def test_lbfgs_solves_in_about_as_many_gradients_as_scipys() -> None:
    ours, theirs = [], []
    for x0 in starts(9):
        error, asked = ends("lbfgs", x0, 15, weight_decay=0.0)
        found = optimize.minimize(
            lambda x: np.sum(valley(x) ** 2), x0.numpy(), method="L-BFGS-B", options={"maxfun": (D + 1) * asked}
        )  # by differences of D + 1 losses, each of which stands for a gradient
        ours.append(math.log10(error + 1e-12))
        theirs.append(math.log10(found.fun + 1e-12))
    assert np.median(ours) <= np.median(theirs) + 1


def test_levenberg_marquardt_ends_where_scipys_does() -> None:
    ours = [math.log10(ends("levenberg_marquardt", x0, 40)[0] + 1e-25) for x0 in starts(9)]
    found = [optimize.least_squares(valley, x0.numpy(), method="lm", max_nfev=40 * (D + 1)) for x0 in starts(9)]
    theirs = [math.log10(np.sum(each.fun**2) + 1e-25) for each in found]
    assert np.median(ours) <= np.median(theirs) + 1 or stats.mannwhitneyu(ours, theirs).pvalue > 0.05
