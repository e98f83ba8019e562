"""Curves and stretched bowls: second-order and adaptive methods where they are at home."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from hybridopt import Profile, Results
from hybridopt.study.comparing import Compared
from hybridopt.study.functions import minimise
from hybridopt.study.training import train
from hybridopt_reproductions.claims import Claim, ClaimsStudy, Finding, by_seed, dots_of, finite, middle, rule_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

X = torch.linspace(-10, 10, 200, dtype=torch.float64)[:, None]
SINC = (X, torch.sinc(X / math.pi))
UNITS = 20
SOLVED, SHARE = 1e-4, 0.8
AS_LOW = 2  # times the median of MINPACK
BOWL, CONDITION, D, LOSSES = 0.01, 1000, 10, 20_000
LM, OTHER, ADAM, LBFGS, MINPACK = "levenberg_marquardt", "identity and factor", "adam", "lbfgs", "MINPACK"
CURVES: Mapping[str, tuple[Mapping[str, Any], int]] = {  # strategy, and its steps
    LM: ({"name": "levenberg_marquardt"}, 200),
    OTHER: ({"name": "levenberg_marquardt", "scaling": "identity", "rule": "factor"}, 200),
    ADAM: ({"name": "adam", "lr": 0.01}, 5000),
    LBFGS: ({"name": "lbfgs", "weight_decay": 0.0}, 250),
}
BOWLS = {"snes": {"sigma": 0.5}, "cem": {}, "differential_evolution": {"sigma": 0.5}}
CLAIMS = {
    "curve": Claim(
        ("levenberg_marquardt", "lbfgs"),
        f"Levenberg-Marquardt brings a network 1-{UNITS}-1 below a mean squared error of {SOLVED:g} on sin(x)/x in 200 "
        f"steps on at least {SHARE:.0%} of the seeds, 5000 steps of Adam on none",
    ),
    "damping": Claim(
        ("levenberg_marquardt",),
        "on full batches of sin(x)/x, 200 steps with damping by curvature and gain end where MINPACK does: the median "
        f"error is below {AS_LOW} times its",
    ),
    **{
        name: Claim(
            (name,),
            f"it brings a bowl of {D} dimensions and condition {CONDITION} below a median of {BOWL:g} in "
            f"{LOSSES:,} losses",
        )
        for name in BOWLS
    },
}


class LeastSquares(ClaimsStudy):
    """Levenberg-Marquardt on a curve, beside Adam, L-BFGS and MINPACK; searches in a bowl that is stretched.

    A network 1-20-1 of tanh is fitted to sin(x)/x at 200 places, in float64 and full batches, where a method of
    second order is said to come far below what gradient descent reaches. MINPACK's Levenberg-Marquardt (Moré 1978),
    by scipy, has the same network, start and as many Jacobians. Searches that adapt the lengths of their steps begin
    at (1, ..., 1) in a bowl that is a thousand times steeper in one direction than in another.
    """

    claim = "Second-order and adaptive methods solve what they are made for."
    claims = CLAIMS
    rule = rule_of(CLAIMS)
    profiles = {
        "smoke": Profile(seeds=1, minutes=0.05, sizes={"share": 0.02}),
        "docs": Profile(seeds=10, minutes=0.6, sizes={"share": 1.0}),
        "full": Profile(seeds=50, minutes=3, sizes={"share": 1.0}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Mapping[str, Any]]:
        share, ways = profile.sizes["share"], (*CURVES, MINPACK, *BOWLS)
        return {f"{way}, seed {s}": {"way": way, "seed": s, "share": share} for way in ways for s in profile.fresh}

    def compute(self, **cell: Any) -> Mapping[str, Any]:
        """The error or the loss at the end, and what it cost in forwards where that is counted."""
        way, seed, share = cell["way"], cell["seed"], cell["share"]
        told = {"way": way, "seed": seed}
        if way in BOWLS:
            settings = {"name": way, **BOWLS[way]}
            start = torch.ones(D, dtype=torch.float64)
            return told | {"end": finite(minimise(settings, stretched, start, int(share * LOSSES), seed))}
        if way == MINPACK:
            return told | {"end": minpack(seed, max(2, round(share * 220)))}
        error, forwards = fitted(way, seed, share)
        return told | {"end": finite(error), "forwards": forwards}

    def findings(self, results: Results, compared: Sequence[Compared]) -> Iterator[Finding]:
        ends = {
            way: list(of.values()) for way, of in by_seed(results, "way", (*CURVES, MINPACK, *BOWLS), "end").items()
        }
        costs = by_seed(results, "way", list(CURVES), "forwards")
        if {LM, ADAM, LBFGS} <= ends.keys():
            solved = {way: sum(error < SOLVED for error in ends[way]) for way in (LM, ADAM, LBFGS)}
            said = ", ".join(f"{way} {n} of {len(ends[way])}, error {middle(ends[way])}" for way, n in solved.items())
            holds = solved[LM] >= SHARE * len(ends[LM]) and solved[ADAM] == 0
            yield Finding(CLAIMS["curve"], said, holds, median(costs[LM].values()))
        if {LM, OTHER, MINPACK} <= ends.keys():
            said = ", ".join(f"{name} {middle(ends[way])}" for way, name in DAMPED.items())
            yield Finding(CLAIMS["damping"], said, median(ends[LM]) < AS_LOW * median(ends[MINPACK]))
        for way in BOWLS:
            if way in ends:
                yield Finding(CLAIMS[way], f"loss {middle(ends[way])}", median(ends[way]) < BOWL)

    def draw(self, results: Results) -> Figure | None:
        ends = by_seed(results, "way", (*CURVES, MINPACK), "end")
        return dots_of({way: list(of.values()) for way, of in ends.items()}, "mean squared error", log=True)


DAMPED = {LM: "curvature and gain", OTHER: OTHER, MINPACK: "MINPACK (scipy)"}


def network(seed: int) -> nn.Module:
    """A network 1-20-1 in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(1, UNITS), nn.Tanh(), nn.Linear(UNITS, 1)).double()


def fitted(way: str, seed: int, share: float) -> tuple[float, int]:
    """The mean squared error on sin(x)/x after a share of the steps, and the forwards that they took."""
    settings, steps = CURVES[way]
    module, steps = network(seed), max(2, round(share * steps))
    first_order = way == ADAM  # whose schedule is over its budget
    forwards = steps * 3 * len(X) if first_order else 1e9
    ledger = train(settings, module, "mse", repeat(SINC, steps), seed, forwards, unchanged=not first_order)
    with torch.no_grad():
        return float((module(X) - SINC[1]).square().mean()), ledger.forwards


def minpack(seed: int, evaluations: int) -> float:
    """The same error by MINPACK's Levenberg-Marquardt."""
    from scipy.optimize import least_squares

    x, y = X.numpy(), SINC[1].numpy()[:, 0]

    def parts(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.tanh(x * theta[:UNITS] + theta[UNITS : 2 * UNITS]), theta[2 * UNITS : 3 * UNITS], theta[3 * UNITS :]

    def residuals(theta: np.ndarray) -> np.ndarray:
        hidden, weights, offset = parts(theta)
        return hidden @ weights + offset - y

    def jacobian(theta: np.ndarray) -> np.ndarray:
        hidden, weights, _ = parts(theta)
        slope = (1 - hidden**2) * weights
        return np.hstack([slope * x, slope, hidden, np.ones_like(x)])

    start = nn.utils.parameters_to_vector(network(seed).parameters()).detach().numpy()
    exact = dict.fromkeys(("xtol", "ftol", "gtol"), 1e-15)
    found = least_squares(residuals, start, jac=jacobian, method="lm", max_nfev=evaluations, **exact)
    return float(np.mean(found.fun**2))


def stretched(x: Tensor) -> Tensor:
    """A bowl a thousand times steeper in one direction than in another, (n, d) -> (n,)."""
    return (torch.logspace(0, math.log10(CONDITION), x.shape[1], dtype=x.dtype) * x.square()).sum(dim=1)
