"""Levenberg-Marquardt (Levenberg 1944; Marquardt 1963, https://doi.org/10.1137/0111030), for any convex loss.

For squared errors and full batches it is the classical method. For other losses the Gauss-Newton matrix takes their
second derivative by the outputs (Schraudolph 2002, https://doi.org/10.1162/08997660260028683), which needs no square
root of the loss.

On full batches each parameter is damped in proportion to its own curvature, the largest seen (Marquardt; More 1978,
https://doi.org/10.1007/BFb0067700), and the damping follows the ratio of what a step gains to what was predicted
(Nielsen 1999, https://www2.imm.dtu.dk/pubdb/edoc/tr05_99.pdf). On minibatches, whose curvatures differ, all parameters
are damped alike, a tenth after a success, tenfold after a failure; and ours, because a step that solves one minibatch
may spoil the next: a success is a step that lowers the loss of the next batch too, another one is taken back (both
points are asked for their loss on that batch); and damping has a floor.
The package torch-levenberg-marquardt does the same as the classical method for squared errors, but runs the network
itself, which nobody would charge.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.func import grad, hessian, vmap

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.core.unchanged import Unchanged
from hybridopt.errors import ConfigError
from hybridopt.toolbox.ranges import at_least, between

LARGEST = 5000  # equations that are solved at once
NUMBERS = 5e8  # in a Jacobian
RANGE = (1e-10, 1e10)  # of the damping
SAME = 1e-6  # two losses that differ by a smaller share are those of one batch


class LevenbergMarquardt(Strategy):
    """Damped Gauss-Newton: a linear system a step, for networks of a few thousand parameters at most.

    Good for regression with up to a few thousand parameters, to many digits in few steps.

    Args:
        damping: lambda at the start, which is added to the diagonal of the Gauss-Newton matrix of the mean loss;
            with ``scaling=diagonal`` the share of the diagonal that is added to it.
        scaling: "identity" damps all parameters alike, "diagonal" each by its own curvature; None is the latter where
            each batch is the same one.
        rule: how lambda changes: "factor" divides and multiplies it, "gain" goes by the gain ratio; None is the latter
            where each batch is the same one.
        factor: what lambda is divided by after a step that lowers the loss of its batch and of the next one, and
            multiplied with after another.
        attempts: steps that are tried on one batch until one lowers its loss; each costs a loss.
        floor: below this lambda is not lowered; in the units of the matrix, not a share of it, because the matrix of
            a batch that is classified without error vanishes, and its steps are those to be kept short.

    Raises:
        ConfigError: a number is out of range, the loss has no derivative, or network and batch are both too large.
    """

    showcase: ClassVar[tuple[str, ...]] = ("budget.forwards=2e5", "dataset.batch_size=64")
    requires: ClassVar[frozenset[str]] = frozenset({"jacobian", "outputs", "direct", "loss_slope"})
    search_space: ClassVar[dict[str, str]] = {"damping": "tag(log, interval(1e-5, 1.0))"}

    theta: Tensor  # (d,)
    previous: Tensor  # (d,), where the last step began
    lam: Tensor  # the damping, a float64 scalar
    reached: Tensor  # the loss that the last step has reached on its batch, a float64 scalar; inf where there was none
    growth: Tensor  # nu, what lambda is multiplied with after the next failure by the rule "gain", a float64 scalar
    curvature: Tensor  # (d,), the largest diagonal of the Gauss-Newton matrix that was seen, float64
    outputs: Tensor  # (B, C), float64, where each batch is the same one, of the point reached; empty where unknown

    def __init__(
        self,
        damping: float = 1e-3,
        scaling: Literal["identity", "diagonal"] | None = None,
        rule: Literal["factor", "gain"] | None = None,
        factor: float = 10.0,
        attempts: int = 10,
        floor: float = 1e-4,
    ):
        super().__init__()
        between("strategy", *RANGE, damping=damping, floor=floor)
        if not 1 < factor < math.inf:
            raise ConfigError(f"strategy.factor must be a number above 1, but is {factor:g}.")
        at_least("strategy", 1, attempts=attempts)
        self.damping, self.factor, self.attempts, self.floor = damping, factor, attempts, floor
        self.scaling, self.rule = scaling, rule
        self.unchanged = Unchanged()

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.register_buffer("theta", oracle.start)
        self.register_buffer("previous", self.theta.clone())
        self.register_buffer("lam", self.theta.new_tensor(self.damping, dtype=torch.float64))
        self.register_buffer("reached", torch.full_like(self.lam, torch.inf))
        self.register_buffer("growth", torch.full_like(self.lam, 2.0))
        self.register_buffer("curvature", torch.zeros_like(self.theta, dtype=torch.float64))
        self.register_buffer("outputs", self.lam.new_zeros(0))
        self.unchanged.forget()

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        by_gain = (self.rule or ("gain" if oracle.repeats else "factor")) == "gain"
        outputs, loss = self._judge(oracle, batch)
        if not (by_gain or self.reached.isinf()):
            self._lower_damping()
        self._refuse_if_too_large(outputs)
        oracle.assign(self.theta)
        system = System(oracle.jacobian(batch).double(), outputs, batch[1], oracle.objective)
        if (self.scaling or ("diagonal" if oracle.repeats else "identity")) == "diagonal":
            self.curvature = self.curvature.maximum(system.diagonal)
            system.scale_by(self.curvature)
        self.previous, self.reached = self.theta, torch.full_like(self.lam, torch.inf)
        self.outputs = outputs if oracle.repeats else outputs[:0]
        for _ in range(self.attempts):
            if oracle.exhausted:
                break
            delta, predicted = system.solve(float(self.lam))
            candidate = self.theta + delta.to(self.theta)
            found, reached = self._ask(oracle, candidate, batch)
            if by_gain:
                self._follow((loss - reached) / predicted)
            if reached < loss:
                self.theta, self.reached = candidate, reached
                self.outputs = found if oracle.repeats else found[:0]
                break
            if not by_gain:
                self._raise_damping()
        self.unchanged.note(oracle)
        return {"loss": float(loss), "damping": float(self.lam)}

    def _follow(self, gain: Tensor) -> None:
        """Nielsen's rule: less damping the better the prediction was, and more and more after failures."""
        if gain > 0:
            self.lam = (self.lam * max(1 / 3, 1 - float(2 * gain - 1) ** 3)).clamp(*RANGE)
            self.growth = torch.full_like(self.lam, 2.0)
        else:
            self.lam, self.growth = (self.lam * self.growth).clamp(*RANGE), self.growth * 2

    def _judge(self, oracle: Oracle, batch: Batch) -> tuple[Tensor, Tensor]:
        """Take the last step back where it has raised the loss of this batch; outputs and loss where we stand now."""
        if len(self.outputs) and self.unchanged.since(oracle):
            return self.outputs, self._loss(oracle, self.outputs, batch)
        here = self._ask(oracle, self.theta, batch)
        if self.reached.isinf():
            return here
        if not torch.isclose(here[1], self.reached, rtol=SAME, atol=0.0):
            before = self._ask(oracle, self.previous, batch)
            if not here[1] <= before[1]:
                self.theta, self.reached = self.previous, torch.full_like(self.lam, torch.inf)
                self._raise_damping()
                return before
        return here

    def _ask(self, oracle: Oracle, theta: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Outputs (B, C) and mean loss, float64, at one point; costs a loss."""
        outputs = oracle.outputs(theta[None], batch)[0].double()
        return outputs, self._loss(oracle, outputs, batch)

    @staticmethod
    def _loss(oracle: Oracle, outputs: Tensor, batch: Batch) -> Tensor:
        return oracle.objective.loss(outputs, exact(batch[1])).detach().double()

    def recommend(self) -> Tensor:
        return self.theta

    def _lower_damping(self) -> None:
        self.lam = (self.lam / self.factor).maximum(self.lam.clamp(max=self.floor))  # it may have begun below

    def _raise_damping(self) -> None:
        self.lam = (self.lam * self.factor).clamp(max=RANGE[1])

    def _refuse_if_too_large(self, outputs: Tensor) -> None:
        rows, d = outputs.numel(), len(self.theta)
        remedy = "take a smaller model or dataset.batch_size, or strategy=lbfgs"
        if min(rows, d) > LARGEST:
            raise ConfigError(
                f"levenberg_marquardt would solve {min(rows, d)} equations per step, more than {LARGEST}: {remedy}."
            )
        if rows * d > NUMBERS:
            raise ConfigError(
                f"levenberg_marquardt would keep {rows} times {d} derivatives, more than {NUMBERS:g}: {remedy}."
            )


class System:
    """The Gauss-Newton equations of a batch, (A'A + lam D) delta = -g, of which D is the identity unless it is scaled.

    Args:
        jacobian: (B, C, d), float64.
        outputs: (B, C), float64.
        targets: (B, ...).
        objective: whose loss is minimised.
    """

    def __init__(self, jacobian: Tensor, outputs: Tensor, targets: Tensor, objective):
        targets = exact(targets)

        def of_one(output: Tensor, target: Tensor) -> Tensor:
            return objective.loss(output[None], target[None]) / len(outputs)

        slopes = vmap(grad(of_one))(outputs, targets)
        root = square_root(vmap(hessian(of_one))(outputs, targets))
        self.g = torch.einsum("bcd,bc->d", jacobian, slopes)
        self.a = (root.mT @ jacobian).flatten(0, 1)
        self.scale = torch.ones_like(self.g)

    @property
    def diagonal(self) -> Tensor:
        """That of A'A, (d,)."""
        return self.a.square().sum(dim=0)

    def scale_by(self, diagonal: Tensor) -> None:
        """Let D be this diagonal (d,); where it is 0, the loss does not depend on the parameter, and 1 will do."""
        self.scale = torch.where(diagonal > 0, diagonal, 1.0).sqrt()
        self.a, self.g = self.a / self.scale, self.g / self.scale

    def solve(self, lam: float) -> tuple[Tensor, Tensor]:
        """delta (d,), and by how much it lowers the loss if that is the quadratic it is taken for.

        By the equations in d unknowns or, where these are fewer, in as many as there are residuals.
        """
        if self._wide:
            delta = -(self.g - self.a.T @ spd_solve(self._gram, lam, self.a @ self.g)) / lam
        else:
            delta = -spd_solve(self._gram, lam, self.g)
        return delta / self.scale, delta @ (lam * delta - self.g) / 2

    @property
    def _wide(self) -> bool:
        rows, d = self.a.shape
        return d > rows

    @cached_property
    def _gram(self) -> Tensor:
        """The smaller one of A A' and A'A, which all attempts share."""
        return self.a @ self.a.T if self._wide else self.a.T @ self.a


def exact(targets: Tensor) -> Tensor:
    """Targets in float64, unless they are classes."""
    return targets.double() if targets.is_floating_point() else targets


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
