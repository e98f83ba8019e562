"""What the other checks build on: where one of these fails, they are not run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from hybridopt.composition.registry import Plugin
from hybridopt.core.search import Search
from hybridopt.core.strategy import Strategy
from hybridopt.engine.population import LowRankPopulation, SeededPopulation
from hybridopt.testing import encodings, objectives
from hybridopt.testing.kit import check, during, fail_if
from hybridopt.testing.problems import problem_of
from hybridopt.testing.reproducibility import DRAW
from hybridopt.testing.runs import Run, difference, global_seeds, global_states

LIKE_START = "make tensors like x0, for example by torch.randn(...).to(x0)"


def described(value: Any) -> str:
    """What a value is, in words."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return "None" if value is None else f"an object of the type {type(value).__name__}"


@check("strategy", first=True)
def takes_a_step(plugin: Plugin) -> None:
    """A step works as the contract says, and draws from no global generator.

    ``ask`` gives candidates (n, d), ``step`` scalars by name, and ``recommend`` a vector (d,), or None in a Strategy,
    all of the type and on the device of the network.
    """
    run = Run(plugin, problem_of(plugin))
    strategy = run.strategy
    fail_if(not isinstance(strategy, Strategy), "it makes something that is no Strategy.")
    if isinstance(strategy, Search):
        _watch_ask(strategy, run)
    with during("in its first step"):
        record = run.step()
    fail_if(
        not isinstance(record, Mapping) or "loss" not in record,
        f'step gives {described(record)} and not scalars by name, among them "loss": return {{"loss": ...}}.',
    )
    for name, value in record.items():
        scalar = isinstance(value, int | float) or (isinstance(value, Tensor) and value.numel() == 1)
        fail_if(not scalar, f"step gives {described(value)} under {name!r}, where a scalar is logged.")
    with during("asked for a recommendation after its first step"):
        recommended = strategy.recommend()
    if recommended is not None or isinstance(strategy, Search):
        _check_vector(recommended, run)
    again = Run(plugin, problem_of(plugin))  # by now what it imports, which may draw, has been imported
    with global_seeds(1):
        before = global_states()
        again.step()
        touched = [name for name, state in global_states().items() if difference(state, before[name])]
    fail_if(touched, f"it draws from, or seeds, the global generator of {' and '.join(touched)}: {DRAW}.")


def _watch_ask(search: Search, run: Run) -> None:
    """Let a search look at what it asks for."""
    ask = search.ask

    def watched() -> Any:
        population = ask()
        _check_population(population, run)
        return population

    cast(Any, search).ask = watched


def _check_population(population: Any, run: Run) -> None:
    d = run.oracle.dimension
    if isinstance(population, LowRankPopulation | SeededPopulation):
        return
    fail_if(
        not isinstance(population, Tensor),
        f"ask gives {described(population)} and not a tensor (n, {d}), one candidate a row: torch.stack makes one.",
    )
    fail_if(
        population.ndim != 2 or population.shape[1] != d or not len(population),
        f"ask gives {described(population)} and not (n, {d}), one candidate a row.",
    )
    _check_kind(population, "ask gives candidates", run)


def _check_vector(recommended: Any, run: Run) -> None:
    d = run.oracle.dimension
    fail_if(
        not isinstance(recommended, Tensor) or tuple(recommended.shape) != (d,),
        f"recommend gives {described(recommended)} and not a vector ({d},), the best guess.",
    )
    _check_kind(recommended, "recommend gives a vector", run)


def _check_kind(value: Tensor, what: str, run: Run) -> None:
    fail_if(value.dtype != run.dtype, f"{what} of {value.dtype} for a network in {run.dtype}: {LIKE_START}.")
    fail_if(
        value.device.type != run.device.type, f"{what} on {value.device} for a network on {run.device}: {LIKE_START}."
    )


@check("objective", first=True)
def loss_is_a_scalar(plugin: Plugin) -> None:
    """With its defaults its loss of a batch is a tensor without dimensions, of the type of the outputs."""
    for case in objectives.cases(plugin):
        where = f"on a {case.spec.task} problem"
        with during(where):
            outputs = case.outputs()
            loss: Any = case.objective.loss(outputs, case.batch[1])
        fail_if(
            not isinstance(loss, Tensor) or loss.ndim != 0,
            f"{where} its loss is {described(loss)} and not a scalar: take the mean over the batch.",
        )
        fail_if(
            loss.dtype != outputs.dtype,
            f"{where} its loss is {loss.dtype} for outputs in {outputs.dtype}: convert it by .to(outputs.dtype).",
        )


@check("encoding", first=True)
def decodes_parameters_by_name(plugin: Plugin) -> None:
    """With its defaults it attaches, begins with a vector (d,), and decodes (n, d) to tensors by name."""
    with during("where it begins and decodes"):
        _, start, decoded = _decoded(plugin)
    fail_if(
        not isinstance(decoded, Mapping) or not all(isinstance(value, Tensor) for value in decoded.values()),
        f"decode gives {described(decoded)} and not a dictionary of tensors by the names of parameters.",
    )
    fail_if(not start.is_floating_point(), f"it begins with a vector of {start.dtype}: searches move through numbers.")


def _decoded(plugin: Plugin) -> tuple[Any, Tensor, Any]:
    encoding = encodings.build(plugin)
    own = encodings.parameters(plugin)
    size: Any = encoding.attach(own)
    start: Any = encoding.begin(own, encodings.source(0))
    fail_if(
        not isinstance(size, int) or not isinstance(start, Tensor) or tuple(start.shape) != (size,),
        f"attach says that a search vector has {size} values, and begin gives {described(start)}.",
    )
    return encoding, start, encoding.decode(torch.stack([start, start]))
