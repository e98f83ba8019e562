"""What is asked of a strategy; that it learns is asked in :mod:`~hybridopt.testing.learning`."""

from __future__ import annotations

import math
import pickle
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor

from hybridopt.composition import building
from hybridopt.composition.registry import Plugin
from hybridopt.core import oracle
from hybridopt.core.ledger import Budget
from hybridopt.core.objective import Batch, Forward, Objective
from hybridopt.core.search import Search
from hybridopt.core.spec import DataSpec
from hybridopt.core.strategy import Strategy
from hybridopt.errors import HybridoptError, brief
from hybridopt.testing.controls import control_arms_are_of_its_settings as control_arms_are_of_its_settings
from hybridopt.testing.kit import CheckFailure, check, during, fail_if, finite
from hybridopt.testing.learning import improves as improves  # its checks are a strategy's
from hybridopt.testing.plugins import defaults, variants
from hybridopt.testing.problems import config_of, line, problem_of
from hybridopt.testing.reproducibility import assert_same_end
from hybridopt.testing.runs import (
    MOST,
    Run,
    callers,
    short_budget,
)
from hybridopt.testing.worker import elsewhere

LATE = 4  # answers that a step may get after the budget is spent
POPULATION = "popsize"


def asks_for_losses(plugin: Plugin) -> bool:
    """Whether a strategy works on the losses of populations."""
    return "losses" in _built(plugin).requires


def has_a_population(plugin: Plugin) -> bool:
    """Whether a strategy lets its population's size be set."""
    return any(parameter.name == POPULATION for parameter in plugin.describe().parameters)


def _built(plugin: Plugin) -> Strategy:
    return building.make(plugin, defaults(plugin), spec=problem_of(plugin).spec)


# -- building ---------------------------------------------------------------------------------------------------------


@check("strategy")
def builds_from_every_option(plugin: Plugin) -> None:
    """It is built, and takes a step, with its defaults, each choice, each switch the other way, and its examples."""
    problem = problem_of(plugin)
    for what, settings in variants(plugin).items():
        with during(f"with {what}"):
            run = Run(plugin, problem, settings)
            fail_if(not isinstance(run.strategy, Strategy), "it makes something that is no Strategy.")
            run.step()
            finite(run.answer(), "after a step it recommends parameters")


# -- cost -------------------------------------------------------------------------------------------------------------


@check("strategy")
def honours_the_budget(plugin: Plugin) -> None:
    """Once forwards, or evaluations, are spent, its step ends.

    A step that needs several answers may still get them, up to four; one that makes many moves looks at
    ``oracle.exhausted`` between them.
    """
    problem = problem_of(plugin)
    forwards = cast(float, short_budget(plugin, problem, steps=5, losses=300).forwards) / 2  # in the middle of a step
    evaluations = forwards / len(next(problem.batches(0))[0])
    for budget in (Budget(forwards=forwards), Budget(evaluations=evaluations)):
        run = Run(plugin, problem, budget=budget).finish()
        fail_if(
            run.ledger.late > LATE,
            f"it asks the oracle {run.ledger.late} times in the step in which a budget of {forwards:.0f} forwards is "
            "spent, after it is spent: end the step when oracle.exhausted says so.",
        )


@check("strategy")
def leaves_the_ledger_alone(plugin: Plugin) -> None:
    """What is on the ledger is what the oracle has put there: a strategy charges nothing, and refunds nothing."""
    run = Run(plugin, problem := problem_of(plugin), budget=short_budget(plugin, problem)).finish(MOST)
    own = run.ledger.forwards - run.ledger.metered
    fail_if(
        own,
        f"it puts {own} forwards on the ledger itself: leave that to the oracle, which meters every call.",
    )


@check("strategy")
def goes_through_the_oracle(plugin: Plugin) -> None:
    """It never runs the network itself, which nobody would charge."""
    run = Run(plugin, problem := problem_of(plugin), budget=short_budget(plugin, problem))
    passes: list[bool] = []
    handle = run.model.register_forward_pre_hook(lambda *_: passes.append(oracle.__name__ in callers()))
    run.finish(MOST)
    handle.remove()
    fail_if(
        not all(passes),
        f"it runs the network {passes.count(False)} times past the oracle: ask oracle.losses, outputs or gradient.",
    )


# -- places and types -------------------------------------------------------------------------------------------------


@check("strategy")
def follows_the_dtype(plugin: Plugin) -> None:
    """With a network and data in float64 it works, and what it recommends is float64."""
    run = Run(plugin, problem := problem_of(plugin), budget=short_budget(plugin, problem), dtype=torch.float64)
    with during("with a network in float64"):
        run.finish(MOST)
    finite(run.answer(), "in float64 it recommends parameters")
    if isinstance(run.strategy, Search):
        dtype = run.strategy.recommend().dtype
        fail_if(dtype != torch.float64, f"it recommends {dtype} for a network in float64: make tensors like x0.")


@check("strategy", applies=lambda plugin: torch.cuda.is_available())
def follows_the_device(plugin: Plugin) -> None:
    """With a network on CUDA it works, and a checkpoint that was written on the CPU goes on there, and the reverse."""
    problem = problem_of(plugin)
    budget = short_budget(plugin, problem)
    runs = {device: Run(plugin, problem, budget=budget, device=device) for device in ("cpu", "cuda")}
    for device, run in runs.items():
        with during(f"on {device}"):
            run.finish(2)
    contents = {device: run.save() for device, run in runs.items()}
    for source, device in (("cpu", "cuda"), ("cuda", "cpu")):
        with during(f"on {device}, from a checkpoint that was written on {source}"):
            moved = Run(plugin, problem, budget=budget, device=device).load(contents[source])
            finite(moved.finish(MOST).answer().cpu(), f"on {device} it recommends parameters")


def says_that_it_learns_from_points(plugin: Plugin) -> bool:
    """Whether a search says that its members may be moved between ``ask`` and ``tell``."""
    made = _built(plugin)
    return isinstance(made, Search) and made.learns_from_points


@check("strategy", applies=says_that_it_learns_from_points)
def learns_from_points(plugin: Plugin) -> None:
    """Where members are moved, in place, between ``ask`` and ``tell``, it goes where they are, and not where they were.

    All members are moved to one place, first in the first generation, then in a later one on a new batch.
    """
    problem = problem_of(plugin)
    for before in (0, 2):
        run = Run(plugin, problem, budget=short_budget(plugin, problem))
        search = cast(Search, run.strategy)
        for _ in range(before + 1):
            run.step()
        search.context.known, search.context.move = False, 0
        place = torch.full((run.oracle.dimension,), 0.5, dtype=search.recommend().dtype)
        population = search.ask()
        cast(Tensor, population).copy_(place)
        search.tell(population, torch.arange(len(population), dtype=torch.float32) / len(population) - 1e6)
        fail_if(
            not torch.allclose(search.recommend(), place, atol=1e-5),
            "after members were moved between ask and tell it recommends another place: learn from the population that "
            "tell is given, or leave learns_from_points at False.",
        )


# -- failures, masks, extremes ----------------------------------------------------------------------------------------


class Failing(Objective):
    """An objective some of whose losses are NaN or infinite: half of a population, a whole one, one by one.

    Args:
        inner: whose losses they would be.
    """

    def __init__(self, inner: Objective):
        super().__init__()
        self.inner, self.asked = inner, 0
        vars(self).update(differentiable=inner.differentiable, tasks=inner.tasks)  # of this one, not of the class

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.inner.loss(outputs, targets)

    def metrics(self, spec: DataSpec) -> Any:
        return self.inner.metrics(spec)

    def outputs(self, forward: Forward, batch: Batch) -> Tensor:
        return self.inner.outputs(forward, batch)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        losses = self.inner.losses(outputs, targets)
        members = torch.arange(len(losses), device=losses.device)
        self.asked += 1
        match self.asked % 5:
            case 1:
                return losses.masked_fill(members % 2 == 0, math.nan)
            case 2:
                return losses.masked_fill(members % 3 == 0, math.inf).masked_fill(members % 3 == 1, -math.inf)
            case 3:
                return torch.full_like(losses, math.nan)
        return losses


@check("strategy", applies=asks_for_losses)
def bears_failures(plugin: Plugin) -> None:
    """Losses that are NaN or infinite, of some members or of all, also in the first generation, do it no harm."""
    problem = problem_of(plugin)
    budget = short_budget(plugin, problem)
    with during("where losses are NaN or infinite"):
        run = Run(plugin, problem, budget=budget, objective=Failing(problem.objective())).finish(MOST)
        finite(run.answer(), "after losses that are NaN or infinite it recommends parameters")


@check("strategy")
def leaves_masked_weights_alone(plugin: Plugin) -> None:
    """Masked weights are exactly zero after each step, and in what is recommended."""
    problem = problem_of(plugin)
    budget = short_budget(plugin, problem)
    mask = {}
    for name, value in problem.model().named_parameters():
        mask[name] = (torch.arange(value.numel()) % 2 == 0).reshape(value.shape)
    run = Run(plugin, problem, budget=budget, mask=mask)
    for step in run.steps():
        run.answer()
        moved = [name for name, value in run.model.named_parameters() if value[~mask[name]].abs().sum() > 0]
        fail_if(
            moved,
            f"masked weights of {', '.join(moved)} are not zero after step {step}: change the network by "
            "oracle.assign or oracle.update alone.",
        )


@check("strategy", applies=has_a_population)
def population_of_one(plugin: Plugin) -> None:
    """With ``popsize=1`` it works, or refuses in a sentence of its own (a :class:`ConfigError`)."""
    problem, settings = problem_of(plugin), defaults(plugin) | {POPULATION: 1}
    try:
        run = Run(plugin, problem, settings)
    except HybridoptError:
        return
    with during("with a population of one"):
        finite(run.finish(4).answer(), "with a population of one it recommends parameters")


@check("strategy")
def dimension_of_one(plugin: Plugin) -> None:
    """A network of a single weight can be trained."""
    problem = line()
    with during("with a network of one weight"):
        run = Run(plugin, problem, budget=short_budget(plugin, problem)).finish(MOST)
        finite(run.answer(), "for a network of one weight it recommends parameters")


@check("strategy")
def recommends_at_any_time(plugin: Plugin) -> None:
    """Once it has begun, and after each step, what it recommends can be evaluated; and looking changes nothing."""
    problem = problem_of(plugin)
    budget = short_budget(plugin, problem)
    looked = Run(plugin, problem, budget=budget)
    looked.begin(looked.first_batch)
    for step in chain([0], looked.steps()):
        with during(f"asked for a recommendation after step {step}"):
            finite(looked.answer(), f"after step {step} it recommends parameters")
        fail_if(not math.isfinite(looked.loss()), f"the loss of what it recommends after step {step} is not finite.")
    whole = Run(plugin, problem, budget=budget).finish(MOST)
    assert_same_end(whole, looked, "a run whose recommendation was looked at after each step ends differently")


@check("strategy")
def pickles_into_another_process(plugin: Plugin) -> None:
    """A strategy that was not attached yet travels to another process by pickle, and does there what it does here."""
    config, problem = config_of(plugin), problem_of(plugin)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        strategy = _built(plugin)
    try:
        pickled = pickle.dumps(strategy)
    except Exception as error:
        raise CheckFailure(f"it cannot be pickled: {brief(error)}.") from error
    with during("in another process"):
        there = torch.tensor(elsewhere(pickled, config, 2))
    here = Run(plugin, problem, strategy=strategy).finish(2).answer()
    fail_if(not torch.allclose(here, there, atol=1e-5), "in another process the same strategy does something else.")
