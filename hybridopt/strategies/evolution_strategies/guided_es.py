"""Guided evolution strategies (Maheswaranathan, Metz, Tucker, Choi & Sohl-Dickstein 2019).

https://arxiv.org/abs/1806.10230. Samples are drawn wider along the last gradients of a surrogate, which may be biased
or stale: the estimate uses what the surrogate knows, and corrects what it gets wrong. Past steps in its place: Meier,
Mujika, Gauy & Steger 2019, https://arxiv.org/abs/1910.05268.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.objective import Batch, Objective
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.engine.randomness import normal
from hybridopt.errors import ConfigError
from hybridopt.toolbox.descent import AdamDescent
from hybridopt.toolbox.fitness import bounded
from hybridopt.toolbox.ranges import at_least, positive, share
from hybridopt.toolbox.schedule import Decay, Schedule


class GuidedES(Strategy):
    """An evolution strategy whose samples favour the subspace of the last surrogate gradients.

    Good for a loss without a gradient beside one that has it: zero-one beside cross-entropy.

    The surrogate is another objective, whose gradient is at hand where that of the loss is not: cross-entropy for the
    zero-one loss. Its gradients are charged as any. Unless one is chosen it is the likelihood of the task.

    Args:
        surrogate: whose gradient guides the samples; anything differentiable.
        pairs: P, mirrored pairs per step.
        sigma: the length of a perturbation, on average.
        alpha: the share of the variance that is spread over all directions; 1 is a plain evolution strategy.
        directions: k, how many surrogate gradients span the subspace.
        beta: what the estimate is multiplied with.
        lr: the step size at the start.
        descent: "adam" rescales the estimate; "sgd" steps along it, as in the paper.
        schedule: how the step size goes to ``final_lr`` times itself over the budget.
        final_lr: the last step size as a share of the first.

    Raises:
        ConfigError: a number is out of range, or the surrogate has no gradient.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"losses"})
    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.01, 1.0))",
        "lr": "tag(log, interval(0.002, 0.2))",
        "alpha": "interval(0.1, 0.9)",
    }

    theta: Tensor  # (d,)
    guides: Tensor  # (k, d), the last gradients of the surrogate

    def __init__(
        self,
        surrogate: Annotated[Objective, "likelihood"],
        pairs: int = 10,
        sigma: float = 0.1,
        alpha: float = 0.5,
        directions: int = 4,
        beta: float = 2.0,
        lr: float = 0.02,
        descent: Literal["adam", "sgd"] = "adam",
        schedule: Schedule = "cosine",
        final_lr: float = 0.05,
    ):
        super().__init__()
        if not surrogate.differentiable:
            raise ConfigError(
                f"The surrogate {type(surrogate).__name__} has no gradient to guide by: choose another one, such as "
                "objective@strategy.surrogate=cross_entropy."
            )
        at_least("strategy", 1, pairs=pairs, directions=directions)
        positive("strategy", sigma=sigma, lr=lr, beta=beta)
        share("strategy", "[0, 1]", alpha=alpha)
        self.surrogate, self.pairs, self.sigma, self.alpha = surrogate, pairs, sigma, alpha
        self.directions, self.beta, self.lr = directions, beta, lr
        self.schedule = Decay(schedule, final_lr)
        self.adam = AdamDescent() if descent == "adam" else None

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {"without the guide": ("strategy.alpha=1",)}

    def attach(self, oracle: Oracle) -> None:
        check_same_task(self.surrogate, oracle.objective)
        self._guide = oracle.with_objective(self.surrogate)

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.register_buffer("theta", oracle.start)
        self.register_buffer("guides", self.theta.new_empty(0, len(self.theta)))
        if self.adam is not None:
            self.adam.start(self.theta)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        _, guide = self._guide.gradients(self.theta[None], batch)
        self.guides = torch.cat([self.guides, guide])[-self.directions :]
        epsilon = self._perturbations(oracle)
        losses = oracle.losses(torch.cat([self.theta + epsilon, self.theta - epsilon]), batch)
        rate = self.lr * self.schedule(oracle.progress)
        estimate = self.estimate(epsilon, losses)
        self.theta = self.theta + (-rate * estimate if self.adam is None else self.adam.step(estimate, rate))
        return {"loss": losses.min(), "lr": rate}

    def recommend(self) -> Tensor:
        return self.theta

    def estimate(self, epsilon: Tensor, losses: Tensor) -> Tensor:
        """Equation 3, beta / (2 sigma^2 P) sum_i eps_i (L(theta + eps_i) - L(theta - eps_i)), (d,)."""
        values = bounded(losses).to(epsilon)
        differences = values[: self.pairs] - values[self.pairs :]
        return self.beta / (2 * self.sigma**2 * self.pairs) * differences @ epsilon

    def _perturbations(self, oracle: Oracle) -> Tensor:
        """Normal with covariance sigma^2 (alpha / d I + (1 - alpha) / k U U'), (P, d)."""
        basis = orthonormal(self.guides)
        d, k = len(self.theta), basis.shape[1]
        alpha = self.alpha if k else 1.0
        everywhere = normal((self.pairs, d), self.theta, oracle.generator)
        inside = normal((self.pairs, k), self.theta, oracle.generator) @ basis.T
        return self.sigma * ((alpha / d) ** 0.5 * everywhere + ((1 - alpha) / max(1, k)) ** 0.5 * inside)


def check_same_task(surrogate: Objective, objective: Objective) -> None:
    """Refuse a surrogate that is made for other targets."""
    guided, wanted = surrogate.tasks, objective.tasks
    if guided is not None and wanted is not None and not guided & wanted:
        raise ConfigError(
            f"The surrogate {type(surrogate).__name__} is made for {' or '.join(sorted(guided))}, and the "
            f"objective {type(objective).__name__} for {' or '.join(sorted(wanted))}: choose another one, "
            "such as objective@strategy.surrogate=mse."
        )


def orthonormal(rows: Tensor) -> Tensor:
    """A basis (d, k) of the span of the rows (k, d) that are not zero."""
    rows = rows[rows.norm(dim=1) > 0]
    return torch.linalg.qr(rows.T).Q if len(rows) else rows.T
