"""What is asked of an objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from hybridopt.composition import building
from hybridopt.composition.registry import Plugin
from hybridopt.core.objective import Batch, Forward, Objective
from hybridopt.core.spec import DataSpec
from hybridopt.engine.evaluator import Passes
from hybridopt.engine.forward import PopulationForward
from hybridopt.errors import brief
from hybridopt.testing.kit import CheckFailure, check, during, fail_if
from hybridopt.testing.plugins import Settings, conformance, defaults, variants
from hybridopt.testing.problems import problem_of

TASKS = ("classification", "regression")
MEMBERS, BATCH, FEATURES, OUTPUTS = 5, 12, 3, 4
STEP = 1e-5  # of a finite difference, in float64
DIRECTIONS = 8


@dataclass(frozen=True)
class Case:
    """An objective on a problem that it is made for.

    Args:
        objective: the objective.
        spec: the shape of the data.
        batch: inputs and targets.
        model: a network for such data.
    """

    objective: Objective
    spec: DataSpec
    batch: Batch
    model: nn.Module

    def forward_of(self, members: slice) -> Forward:
        """Some of a population's members, as an objective meets them; all have weights of their own."""
        generator = torch.Generator().manual_seed(1)
        population = {
            name: (value + 0.5 * torch.randn(MEMBERS, *value.shape, generator=generator))[members]
            for name, value in self.model.named_parameters()
        }
        return Passes(PopulationForward(self.model), population, self.batch[0], len(range(MEMBERS)[members]))

    def outputs(self) -> Tensor:
        """What the loss and the metrics take, of the first member."""
        return self.objective.outputs(self.forward_of(slice(0, 1)), self.batch)[0]


def cases(plugin: Plugin, settings: Settings | None = None) -> Iterator[Case]:
    """The objective on its own problem, or else on a small one for each task that it is made for."""
    if conformance(plugin).problem:
        problem = problem_of(plugin)
        batch = next(problem.batches(0))
        yield Case(build(plugin, settings, problem.spec), problem.spec, batch, seeded(problem.model))
        return
    generator = torch.Generator().manual_seed(0)
    for task in tasks(plugin):
        spec = DataSpec((FEATURES,), OUTPUTS, task)
        inputs = torch.randn(BATCH, FEATURES, generator=generator)
        classes = torch.randint(OUTPUTS, (BATCH,), generator=generator)
        values = torch.randn(BATCH, OUTPUTS, generator=generator)
        batch = inputs, classes if task == "classification" else values
        yield Case(build(plugin, settings, spec), spec, batch, seeded(lambda: nn.Linear(FEATURES, OUTPUTS)))


def tasks(plugin: Plugin) -> list[str]:
    """The tasks that an objective is made for, as far as the kit has a problem of that kind."""
    made_for = build(plugin, None, DataSpec((FEATURES,), OUTPUTS, TASKS[0])).tasks
    known = [task for task in TASKS if made_for is None or task in made_for]
    fail_if(
        not known,
        f"it is made for {', '.join(sorted(made_for or ()))}, of which the kit has no problem: name one by "
        "conformance = {'problem': {'dataset': {'name': ...}, 'model': {'name': ...}}}.",
    )
    return known


def build(plugin: Plugin, settings: Settings | None, spec: DataSpec) -> Objective:
    """The objective for data of this shape."""
    objective = building.make(plugin, defaults(plugin) if settings is None else settings, spec=spec)
    fail_if(not isinstance(objective, Objective), "it makes something that is no Objective.")
    return objective


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A network whose first weights are the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


@check("objective")
def builds_from_every_option(plugin: Plugin) -> None:
    """With its defaults and every option its loss of a batch is one finite number."""
    for what, settings in variants(plugin).items():
        for case in cases(plugin, settings):
            with during(f"with {what}, on a {case.spec.task} problem"):
                loss = case.objective.loss(case.outputs(), case.batch[1])
            fail_if(
                loss.ndim != 0 or not loss.isfinite(),
                f"with {what}, on a {case.spec.task} problem, its loss is {loss.tolist()} and not one finite number.",
            )


@check("objective")
def population_losses_equal_single_losses(plugin: Plugin) -> None:
    """``losses`` of a population are those of each member alone, and ``loss`` of each one's ``outputs`` (to 1e-4)."""
    for case in cases(plugin):
        objective, batch = case.objective, case.batch
        with torch.no_grad():
            outputs = objective.outputs(case.forward_of(slice(0, MEMBERS)), batch)
            together = objective.losses(outputs, batch[1])
            singles = (objective.outputs(case.forward_of(slice(i, i + 1)), batch) for i in range(MEMBERS))
            alone = [objective.losses(single, batch[1]) for single in singles]
            validated = torch.stack([objective.loss(one, batch[1]) for one in outputs])
        fail_if(
            tuple(together.shape) != (MEMBERS,),
            f"the losses of {MEMBERS} members have the shape {tuple(together.shape)} and not ({MEMBERS},).",
        )
        for what, losses in {
            "each member alone": torch.cat(alone),
            "loss(outputs), as in validation": validated,
        }.items():
            fail_if(
                not torch.allclose(together, losses.to(together), rtol=1e-4, atol=1e-5),
                f"on a {case.spec.task} problem the losses of a population are {rounded(together)}, but "
                f"{rounded(losses)} by {what}.",
            )


@check("objective")
def differentiable_is_true_or_honestly_false(plugin: Plugin) -> None:
    """Where it says that its loss is differentiable, there is a gradient, and it is that of finite differences, in
    float64 (to 1e-3); where it says that it is not, there is none of that kind.

    An objective whose ``outputs`` are its own, such as returns of rollouts, is not asked the latter.
    """
    for case in cases(plugin):
        found = slopes(case)
        where = f"on a {case.spec.task} problem"
        if case.objective.differentiable:
            fail_if(found is None, f"{where} it says that it is differentiable, but its loss has no gradient.")
            gradient, differences = cast(tuple[Tensor, Tensor], found)
            fail_if(
                not gradient.abs().max() > 0,
                f"{where} it says that it is differentiable, but its gradient is zero everywhere.",
            )
            fail_if(
                not torch.allclose(gradient, differences, rtol=1e-3, atol=1e-6),
                f"{where} its gradient says {rounded(gradient[:3])} along directions in which the loss changes by "
                f"{rounded(differences[:3])}.",
            )
        elif found is not None and case.objective.of_one_pass:
            gradient, differences = cast(tuple[Tensor, Tensor], found)
            fail_if(
                gradient.abs().max() > 0 and torch.allclose(gradient, differences, rtol=1e-3, atol=1e-6),
                f"{where} it says that it is not differentiable, but its loss has a gradient, and a right one: set "
                "differentiable = True.",
            )


def slopes(case: Case) -> tuple[Tensor, Tensor] | None:
    """The loss's slopes along directions of the outputs, by its gradient and by differences, or None."""
    inputs, targets = case.batch
    targets = targets.double() if targets.is_floating_point() else targets
    with torch.no_grad():
        outputs = case.forward_of(slice(0, 1))(inputs)[0].double()
    leaf = outputs.clone().requires_grad_()
    try:
        loss = case.objective.loss(leaf, targets)
    except Exception as error:
        raise CheckFailure(f"its loss of outputs in float64 raises {brief(error)}.") from error
    if not loss.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(loss, leaf)
    directions = torch.randn(DIRECTIONS, *outputs.shape, generator=torch.Generator().manual_seed(2)).double()
    with torch.no_grad():
        differences = [
            (case.objective.loss(outputs + STEP * v, targets) - case.objective.loss(outputs - STEP * v, targets))
            / (2 * STEP)
            for v in directions
        ]
    return (directions * gradient).flatten(1).sum(1), torch.stack(differences)


@check("objective")
def nan_is_no_success(plugin: Plugin) -> None:
    """The loss of outputs that are NaN is not lower than that of outputs that are numbers."""
    for case in cases(plugin):
        outputs, targets = case.outputs(), case.batch[1]
        with during("for outputs that are NaN"):
            diverged = case.objective.loss(torch.full_like(outputs, torch.nan), targets)
        usual = case.objective.loss(outputs, targets)
        fail_if(
            diverged < usual,
            f"on a {case.spec.task} problem the loss is {usual:.3g} for ordinary outputs, and {diverged:.3g} for NaN.",
        )


@check("objective")
def metrics_are_fresh_and_named(plugin: Plugin) -> None:
    """``metrics`` makes new metrics each time, with names in snake case, that take outputs and targets."""
    for case in cases(plugin):
        one, other = case.objective.metrics(case.spec), case.objective.metrics(case.spec)
        with during("its metrics, of a batch:"):
            one.update(case.outputs(), case.batch[1])
            values = one.compute()
        fail_if(any(metric.update_count for metric in other.values()), "two calls of metrics() share their state.")
        odd = [name for name in values if name != name.lower() or not name.isidentifier() or name == "loss"]
        fail_if(
            odd, f"its metric {' and '.join(map(repr, odd))} is not named in snake case, or takes the name of the loss."
        )


def rounded(values: Tensor) -> list[float]:
    """Numbers to show."""
    return [float(f"{value:.4g}") for value in values.tolist()]
