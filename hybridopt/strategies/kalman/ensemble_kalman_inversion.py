"""Ensemble Kalman inversion for networks (Kovachki & Stuart 2019), https://arxiv.org/abs/1808.03620.

The discrete update of their section 4, in ensemble space: what a member moves by is a combination of the members, with
weights that say how well others' outputs explain its loss. The step is h0 over the norm of the weights, as they choose
it; the ensemble is redrawn around its mean from time to time (their EKI(R)), here with a width that shrinks, which
ends closer, and then may grow (their expanding ensembles). Momentum is Nesterov's, member by member (their MEKI).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch, Objective
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.engine.randomness import normal
from hybridopt.errors import ConfigError
from hybridopt.toolbox import inheritance
from hybridopt.toolbox.ranges import at_least, positive, share

TINY = 1e-12


class EnsembleKalmanInversion(Strategy):
    """Ensemble Kalman inversion: an ensemble moves in its own span, by the covariance of parameters and outputs.

    Good for networks without a gradient under a loss that has one, such as steps, simulators and quantised weights.

    Only the loss as a function of the outputs is differentiated, never the network, which may have no gradient at all.

    Args:
        ensemble: members J; memory is J times the parameters.
        h0: the step size, relative to the norm of the weights.
        sigma: the standard deviation of the ensemble around the start, and of each redraw at first.
        redraw_every: steps after which the ensemble is redrawn around its mean; 0 is plain EKI.
        final_sigma: the standard deviation of the last redraw as a share of the first one's.
        final_ensemble: members at the end of the budget, to which their number goes by redraws; None keeps it.
        momentum: the share of its last move that a member is ahead of itself when it is evaluated.

    Raises:
        ConfigError: a number is out of range, or the objective's loss has no derivative by the outputs.
    """

    showcase: ClassVar[tuple[str, ...]] = ("dataset.batch_size=64",)
    requires: ClassVar[frozenset[str]] = frozenset({"outputs", "loss_slope"})
    search_space: ClassVar[dict[str, str]] = {
        "h0": "tag(log, interval(0.2, 5.0))",
        "sigma": "tag(log, interval(0.02, 0.5))",
        "ensemble": "choice(100, 200, 500)",
        "redraw_every": "range(4, 30)",
        "final_sigma": "tag(log, interval(0.01, 1.0))",
    }
    hands_over: ClassVar[frozenset[str]] = frozenset({"population"})
    takes: ClassVar[frozenset[str]] = frozenset({"population"})
    members: Tensor  # (J, d)
    before: Tensor | None  # (J, d), the members a step ago; None without momentum
    taken: Tensor  # a whole number, steps so far

    def __init__(
        self,
        ensemble: int = 200,
        h0: float = 2.0,
        sigma: float = 0.1,
        redraw_every: int = 14,
        final_sigma: float = 0.1,
        final_ensemble: int | None = None,
        momentum: float = 0.0,
    ):
        super().__init__()
        at_least("strategy", 1, ensemble=ensemble, final_ensemble=final_ensemble)
        at_least("strategy", 0, redraw_every=redraw_every)
        if final_ensemble is not None and redraw_every == 0:
            raise ConfigError(
                f"strategy.final_ensemble is {final_ensemble}, but the ensemble grows in redraws, and "
                "strategy.redraw_every is 0: set it to 1 or more, or leave strategy.final_ensemble out."
            )
        share("strategy", "[0, 1)", momentum=momentum)
        positive("strategy", h0=h0, sigma=sigma, final_sigma=final_sigma)
        self.ensemble, self.h0, self.sigma = ensemble, h0, sigma
        self.redraw_every, self.final_sigma = redraw_every, final_sigma
        self.final_ensemble, self.momentum = final_ensemble or ensemble, momentum

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        start = oracle.start
        noise = normal((self.ensemble, len(start)), start, oracle.generator)
        members = inheritance.members(oracle.inherited, start + self.sigma * noise)
        self.register_buffer("members", members)
        self.register_buffer("before", self.members.clone() if self.momentum else None)
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        self._redraw_when_due(oracle)
        ahead = self._ahead()
        outputs = oracle.outputs(ahead, batch)
        losses, weights = self.weights(oracle, outputs, batch)
        h = self.h0 / (weights.norm() + TINY)
        centred = ahead - ahead.mean(dim=0)
        self.members = ahead - h * weights.T.to(centred) @ centred
        return {"loss": losses.min()}

    def weights(self, oracle: Oracle, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The losses (J,), and D (J, J): D[k, j] = <G_k - mean G, dL/dG at G_j> / J.

        A non-finite member is excluded from all means, and is not updated.
        """
        each = tuple(range(1, outputs.ndim))
        fine = outputs.abs().amax(dim=each).isfinite()
        of_all = fine.view(-1, *[1 for _ in each])
        if not fine.all():
            outputs = torch.where(of_all, outputs, 0.0)
        losses, slopes = losses_and_slopes(oracle.objective, outputs, batch[1])
        deviations = outputs - outputs.sum(dim=0) / fine.sum().clamp(min=1)
        if not fine.all():
            losses = torch.where(fine, losses, torch.inf)
            slopes, deviations = slopes * of_all, deviations * of_all
        d = deviations.flatten(1) @ slopes.flatten(1).T / len(outputs)
        return losses, d.nan_to_num(0.0, 0.0, 0.0)

    def recommend(self) -> Tensor:
        return self.members.mean(dim=0)

    def handover(self) -> Handover:
        return Handover(population=self.members)

    def _redraw_when_due(self, oracle: Oracle) -> None:
        taken = int(self.taken)
        self.taken += 1
        if not self.redraw_every or taken == 0 or taken % self.redraw_every:
            return
        width, mean = self.sigma * self.final_sigma**oracle.progress, self.members.mean(dim=0)
        count = round(self.ensemble + (self.final_ensemble - self.ensemble) * oracle.progress)
        self.members = mean + width * normal((count, len(mean)), mean, oracle.generator)
        self.before = self.members.clone() if self.momentum else None

    def _ahead(self) -> Tensor:
        """u + m (u - u_before), where the members are evaluated; u itself without momentum."""
        if not self.momentum or self.before is None:
            return self.members
        ahead = self.members + self.momentum * (self.members - self.before)
        self.before = self.members
        return ahead


def losses_and_slopes(objective: Objective, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of each member (J,), and its derivative by the member's outputs, (J, B, ...)."""
    with torch.enable_grad():
        outputs = outputs.detach().requires_grad_()
        losses = objective.losses(outputs, targets)
        (slopes,) = torch.autograd.grad(losses.sum(), outputs)
    return losses.detach(), slopes
