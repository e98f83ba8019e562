"""Each check of objectives, by an objective that fails that one alone."""

from __future__ import annotations

import random
import re
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanAbsoluteError, MetricCollection

from hybridopt import Objective
from hybridopt.testing import checks, run_checks


class Sound(Objective):
    """The mean squared error."""

    differentiable: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = frozenset({"regression"})

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs, targets)

    def metrics(self, spec: Any) -> MetricCollection:
        return MetricCollection({"mae": MeanAbsoluteError()})


class Steps(Sound):
    """A loss without a gradient, and honest about it."""

    differentiable: ClassVar[bool] = False

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        far = (outputs - targets).abs() > 0.5
        return (far | outputs.isnan()).to(outputs.dtype).mean()


class Rollout(Sound):
    """Returns of several passes, of which the loss is a smooth function, but not of the weights."""

    differentiable: ClassVar[bool] = False
    conformance: ClassVar[dict[str, Any]] = {
        "problem": {"dataset": {"name": "diabetes"}, "model": {"name": "mlp", "hidden": [3]}}
    }

    def outputs(self, forward: Any, batch: Any) -> Tensor:
        once = forward(batch[0])
        return forward(batch[0] + once.sign().mean(2, keepdim=True)) + once


class HalfDone(Sound):
    """One of whose options gives a loss for each sample."""

    def __init__(self, reduction: Literal["mean", "none"] = "mean"):
        super().__init__()
        self.reduction = reduction

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs, targets, reduction=self.reduction)


class Summed(Sound):
    """Whose losses of a population are sums, where its loss is a mean."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().sum((1, 2))


class Competing(Sound):
    """Whose losses compare the members."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        losses = super().losses(outputs, targets)
        return losses - losses.min()


class Boasting(Steps):
    """Which says that it has a gradient, and has none."""

    differentiable: ClassVar[bool] = True


class Flat(Sound):
    """Whose gradient is zero everywhere."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).round().square().mean() + 0 * outputs.sum()


class Straight(Sound):
    """Whose gradient is that of another loss."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        error = outputs - targets
        return (error + (error.round() - error).detach()).square().mean()


class Modest(Sound):
    """Which says that it has no gradient, and has one."""

    differentiable: ClassVar[bool] = False


class Charmed(Sound):
    """Which is pleased by NaN."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs.nan_to_num(), targets) - outputs.isnan().to(outputs.dtype).mean() * 10


class Shared(Sound):
    """Whose metrics are the same each time."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = MetricCollection({"mae": MeanAbsoluteError()})

    def metrics(self, spec: Any) -> MetricCollection:
        return self.kept


class Shouting(Sound):
    """Whose metrics are named otherwise."""

    def metrics(self, spec: Any) -> MetricCollection:
        return MetricCollection({"MAE": MeanAbsoluteError()})


class Foreign(Sound):
    """Which is made for what the kit does not know."""

    tasks: ClassVar[frozenset[str]] = frozenset({"chess"})


class Unreduced(Sound):
    """A loss for each sample."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs, targets, reduction="none").mean(1)


class Unmoved(Sound):
    """Which holds its weights in a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = [torch.ones(1)]


class Centring(Sound):
    """Which centres the targets in place."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs - targets.mean(), targets - targets.mean()) + 0 * targets.add_(0.01).sum()


class Noisy(Sound):
    """Which draws from the global generator, what changes nothing."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        random.random()
        return super().loss(outputs, targets)


BROKEN = [
    (Unreduced, "loss_is_a_scalar", r"its loss is a tensor of shape \(12,\) and not a scalar: take the mean"),
    (Unmoved, "keeps_tensors_in_buffers", r"holds a tensor in the plain attribute self\.weights, which is not moved"),
    (Noisy, "leaves_the_process_alone", r"it draws from, or seeds, the global generator of Python\."),
    (HalfDone, "builds_from_every_option", r"with reduction=none.* its loss is .* and not one finite number"),
    (
        Summed,
        "population_losses_equal_single_losses",
        r"losses of a population are \[.*\], but \[.*\] by loss\(outputs\)",
    ),
    (Competing, "population_losses_equal_single_losses", r"by each member alone"),
    (
        Boasting,
        "differentiable_is_true_or_honestly_false",
        r"says that it is differentiable, but its loss has no gradient",
    ),
    (Flat, "differentiable_is_true_or_honestly_false", r"its gradient is zero everywhere"),
    (Straight, "differentiable_is_true_or_honestly_false", r"its gradient says \[.*\] along directions in which"),
    (Modest, "differentiable_is_true_or_honestly_false", r"is not differentiable, but .* set differentiable = True"),
    (Charmed, "nan_is_no_success", r"the loss is [\d.]+ for ordinary outputs, and -[\d.]+ for NaN"),
    (Shared, "metrics_are_fresh_and_named", r"two calls of metrics\(\) share their state"),
    (Shouting, "metrics_are_fresh_and_named", r"metric 'MAE' is not named in snake case"),
    (Foreign, "loss_is_a_scalar", r"it is made for chess, of which the kit has no problem"),
]


@pytest.mark.parametrize(("objective", "fails", "says"), BROKEN, ids=[case[0].__name__ for case in BROKEN])
def test_a_broken_objective_fails_its_check_alone(objective, fails, says):
    failed = {outcome.check: outcome.sentence for outcome in run_checks(objective) if outcome.status == "failed"}
    assert re.search(says, failed[fails]), failed
    assert failed.keys() == {fails}


@pytest.mark.parametrize("objective", [Sound, Steps, Rollout], ids=lambda objective: objective.__name__)
def test_a_sound_objective_passes(objective):
    assert [outcome for outcome in run_checks(objective) if outcome.status != "passed"] == []


def test_targets_that_are_changed_are_told():
    failed = {outcome.check: outcome.sentence for outcome in run_checks(Centring) if outcome.status == "failed"}
    assert re.search(r"loss changes targets in place, which others use", failed["leaves_outputs_and_targets_alone"])


def test_each_check_is_failed_by_somebody():
    general = {"can_be_imported", "has_a_summary", "config_survives_yaml", "search_space_is_of_its_settings"}
    assert {check.name for check in checks(Sound)} - general == {fails for _, fails, _ in BROKEN} | {
        "leaves_outputs_and_targets_alone"
    }
