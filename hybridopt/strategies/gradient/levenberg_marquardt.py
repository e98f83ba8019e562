"""Levenberg-Marquardt (Levenberg 1944; Marquardt 1963, https://doi.org/10.1137/0111030), for any convex loss.

For squared errors it is the classical method. For other losses the Gauss-Newton matrix takes their second derivative by
the outputs (Schraudolph 2002, https://doi.org/10.1162/08997660260028683), which needs no square root of the loss.
Damping and its factors are those of Marquardt: a tenth after a success, tenfold after a failure. The package
torch-levenberg-marquardt does the same for squared errors, but runs the network itself, which nobody would charge.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.func import grad, hessian, vmap

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.errors import ConfigError

LARGEST = 5000  # equations that are solved at once
NUMBERS = 5e8  # in a Jacobian
RANGE = (1e-10, 1e10)  # of the damping


class LevenbergMarquardt(Strategy):
    """Damped Gauss-Newton: a linear system a step, for networks of some thousand parameters at most.

    Good for regression with up to some thousand parameters, to many digits in few steps.

    Args:
        damping: lambda at the start, which is added to the diagonal of the Gauss-Newton matrix of the mean loss.
        factor: what lambda is divided by after a step that lowers the loss, and multiplied with after another.
        attempts: steps that are tried on one batch until one lowers the loss; each costs a loss.

    Raises:
        ConfigError: a number is out of range, the loss has no derivative, or network and batch are both too large.
    """

    showcase: ClassVar[tuple[str, ...]] = ("budget.forwards=2e5", "dataset.batch_size=64")
    requires: ClassVar[frozenset[str]] = frozenset({"jacobian", "outputs", "losses", "direct", "loss_slope"})
    search_space: ClassVar[dict[str, str]] = {"damping": "tag(log, interval(1e-5, 1.0))"}

    def __init__(self, damping: float = 1e-3, factor: float = 10.0, attempts: int = 10):
        super().__init__()
        if not (RANGE[0] <= damping <= RANGE[1] and factor > 1 and attempts >= 1):
            raise ConfigError(
                "strategy.damping must lie between 1e-10 and 1e10, strategy.factor be above 1 and strategy.attempts at "
                f"least 1, but are {damping:g}, {factor:g} and {attempts}."
            )
        self.damping, self.factor, self.attempts = damping, factor, attempts

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.register_buffer("theta", oracle.start)
        self.register_buffer("lam", self.theta.new_tensor(self.damping, dtype=torch.float64))

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        outputs = oracle.outputs(self.theta[None], batch)[0]
        self._refuse_if_too_large(outputs)
        oracle.assign(self.theta)
        system = System(oracle.jacobian(batch).double(), outputs.double(), batch[1], oracle.objective)
        loss = system.loss
        for _ in range(self.attempts):
            if oracle.exhausted:
                break
            candidate = self.theta + system.solve(float(self.lam)).to(self.theta)
            if torch.isfinite(candidate).all() and float(oracle.losses(candidate[None], batch)[0]) < loss:
                self.theta = candidate
                self._damp(1 / self.factor)
                break
            self._damp(self.factor)
        return {"loss": loss, "damping": float(self.lam)}

    def recommend(self) -> Tensor:
        return self.theta

    def _damp(self, factor: float) -> None:
        self.lam = (self.lam * factor).clamp(*RANGE)

    def _refuse_if_too_large(self, outputs: Tensor) -> None:
        rows, d = outputs.numel(), len(self.theta)
        if min(rows, d) > LARGEST or rows * d > NUMBERS:
            raise ConfigError(
                f"levenberg_marquardt solves {min(rows, d)} equations a step, with {rows} times {d} derivatives, which "
                f"is more than {LARGEST}, or than memory holds: take a smaller model or dataset.batch_size, or "
                "strategy=lbfgs."
            )


class System:
    """The Gauss-Newton equations of a batch, (A'A + lam I) delta = -g.

    Args:
        jacobian: (B, C, d), float64.
        outputs: (B, C), float64.
        targets: (B, ...).
        objective: whose loss is minimised.
    """

    def __init__(self, jacobian: Tensor, outputs: Tensor, targets: Tensor, objective):
        targets = targets.double() if targets.is_floating_point() else targets

        def of_one(output: Tensor, target: Tensor) -> Tensor:
            return objective.loss(output[None], target[None]) / len(outputs)

        self.loss = float(objective.loss(outputs, targets))
        slopes = vmap(grad(of_one))(outputs, targets)
        root = square_root(vmap(hessian(of_one))(outputs, targets))
        self.g = torch.einsum("bcd,bc->d", jacobian, slopes)
        self.a = (root.mT @ jacobian).flatten(0, 1)

    def solve(self, lam: float) -> Tensor:
        """delta (d,): by the equations in d unknowns or, where these are fewer, in as many as there are residuals."""
        rows, d = self.a.shape
        if d <= rows:
            return -spd_solve(self.a.T @ self.a, lam, self.g)
        dual = spd_solve(self.a @ self.a.T, lam, self.a @ self.g)
        return -(self.g - self.a.T @ dual) / lam


def square_root(matrices: Tensor) -> Tensor:
    """R with R R' = M for positive semi-definite M; what is negative by rounding, or by concavity, counts as 0."""
    values, vectors = torch.linalg.eigh(torch.nan_to_num(matrices))
    return vectors * values.clamp(min=0).sqrt()[..., None, :]


def spd_solve(matrix: Tensor, lam: float, right: Tensor) -> Tensor:
    """(M + lam I)^-1 b; NaN where that cannot be said."""
    diagonal = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    factor, failed = torch.linalg.cholesky_ex(matrix + lam * diagonal)
    if failed:
        return torch.full_like(right, torch.nan)
    return torch.cholesky_solve(right[:, None], factor)[:, 0]
