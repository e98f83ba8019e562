"""Curves and stretched bowls: second-order and adaptive methods where they are at home."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor, nn

from hybridopt import Budget, Oracle
from hybridopt.composition import building
from hybridopt.core.ledger import Ledger
from hybridopt.testing.by_hand import begin, deploy
from proofs import Finding, proves, spread

X = torch.linspace(-10, 10, 200, dtype=torch.float64)[:, None]
SINC = (X, torch.sinc(X / math.pi))


def fit(strategy: dict, steps: int, seed: int, budget: float = 1e9, full: bool = False) -> tuple[float, int]:
    """The mean squared error of a network 1-20-1 on sin(x)/x, and the forwards it took."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1)).double()
    built = building.build("strategy", strategy)
    oracle = Oracle(
        model,
        building.build("objective", {"name": "mse"}),
        Ledger(Budget(forwards=budget)),
        torch.Generator().manual_seed(seed),
    )
    oracle.feed.unchanged = full
    begin(built, oracle, SINC)
    for _ in range(steps):
        built.step(oracle, SINC)
    deploy(built, oracle)
    with torch.no_grad():
        return float(((model(X) - SINC[1]) ** 2).mean()), oracle.ledger.forwards


@proves("levenberg_marquardt", "lbfgs")
def sinc(seeds: int) -> Iterator[Finding]:
    seeds = max(seeds, 10)
    ends = {
        "levenberg_marquardt": [fit({"name": "levenberg_marquardt"}, 200, seed, full=True) for seed in range(seeds)],
        "adam": [fit({"name": "adam", "lr": 0.01}, 5000, seed, 5000 * 3 * 200) for seed in range(seeds)],
        "lbfgs": [fit({"name": "lbfgs", "weight_decay": 0.0}, 250, seed, full=True) for seed in range(seeds)],
    }
    errors = {name: [error for error, _ in runs] for name, runs in ends.items()}
    costs = {name: runs[0][1] for name, runs in ends.items()}
    solved = {name: sum(error < 1e-4 for error in found) for name, found in errors.items()}
    claim = "levenberg_marquardt brings a network 1-20-1 below 1e-4 on sin(x)/x in 200 steps on 8 of 10 seeds, "
    found = ", ".join(f"{name} {solved[name]} of {seeds}, error {spread(errors[name])}" for name in ends)
    holds = solved["levenberg_marquardt"] >= 0.8 * seeds and solved["adam"] == 0
    yield Finding(f"{claim}5000 steps of adam on none", found, holds, costs["levenberg_marquardt"])


def scipys(seed: int) -> float:
    """The same error by MINPACK's Levenberg-Marquardt, in as many Jacobians."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1)).double()
    x, y = X.numpy(), SINC[1].numpy()[:, 0]

    def parts(theta: np.ndarray) -> tuple[np.ndarray, ...]:
        return np.tanh(x * theta[:20] + theta[20:40]), theta[40:60], theta[60:]

    def residuals(theta: np.ndarray) -> np.ndarray:
        hidden, weights, offset = parts(theta)
        return hidden @ weights + offset - y

    def jacobian(theta: np.ndarray) -> np.ndarray:
        hidden, weights, _ = parts(theta)
        slope = (1 - hidden**2) * weights
        return np.hstack([slope * x, slope, hidden, np.ones_like(x)])

    start = nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    exact = dict.fromkeys(("xtol", "ftol", "gtol"), 1e-15)
    return float(np.mean(least_squares(residuals, start, jac=jacobian, method="lm", max_nfev=220, **exact).fun ** 2))


@proves("levenberg_marquardt")
def damping(seeds: int) -> Iterator[Finding]:
    seeds = max(seeds, 9)
    ways = {"diagonal, gain": {}, "identity, factor": {"scaling": "identity", "rule": "factor"}}
    ends = {
        name: [fit({"name": "levenberg_marquardt", **settings}, 200, seed, full=True)[0] for seed in range(seeds)]
        for name, settings in ways.items()
    }
    ends["scipy's lm"] = [scipys(seed) for seed in range(seeds)]
    medians = {name: statistics.median(errors) for name, errors in ends.items()}
    claim = "on full batches of sin(x)/x, 200 steps with damping by curvature and gain end where MINPACK does"
    found = ", ".join(f"{name} {spread(errors, 2)}" for name, errors in ends.items())
    yield Finding(claim, found, medians["diagonal, gain"] < 2 * medians["scipy's lm"])


def stretched(x: Tensor) -> Tensor:
    """A bowl a thousand times steeper in one direction than in another, (n, d) -> (n,)."""
    return (torch.logspace(0, 3, x.shape[1]) * x**2).sum(dim=1)


@proves("snes", "cem", "differential_evolution")
def bowls(seeds: int) -> Iterator[Finding]:
    for name, settings in {"snes": {"sigma": 0.5}, "cem": {}, "differential_evolution": {"sigma": 0.5}}.items():
        ends = []
        for seed in range(seeds):
            search = building.build("strategy", {"name": name, **settings})
            search.generator = torch.Generator().manual_seed(seed)
            search.start(torch.ones(10))
            asked = 0
            while asked < 20_000:
                search.progress, search.move = asked / 20_000, 0
                population = search.ask()
                search.tell(population, stretched(population))
                asked += len(population)
            ends.append(float(stretched(search.recommend()[None])))
        holds = statistics.median(ends) < 1e-2
        claim = f"{name} brings a ten-dimensional bowl of condition 1000 below 0.01 in 20,000 losses"
        yield Finding(claim, f"loss {spread(ends)}", holds)
