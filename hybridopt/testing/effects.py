"""What plugins leave alone: the network but for what the oracle does to it, what they are given, the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hybridopt.composition.registry import Plugin
from hybridopt.core import oracle, view
from hybridopt.core.search import Search
from hybridopt.engine import trees
from hybridopt.testing import encodings, models, objectives
from hybridopt.testing.kit import check, fail_if
from hybridopt.testing.problems import problem_of
from hybridopt.testing.process import settings
from hybridopt.testing.runs import Run, callers, difference, global_seeds, global_states, short_budget

STEPS = 4
OWNERS = {oracle.__name__, view.__name__}  # by whom a network may be changed
GIVEN = "work on a copy, tensor.clone()"

# -- the network ------------------------------------------------------------------------------------------------------


class Writes(TorchDispatchMode):
    """Notes who writes into the parameters and buffers of a network past the oracle.

    Args:
        model: the network.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.found: set[str] = set()
        self._names = {value.untyped_storage().data_ptr(): name for name, value in _tensors(model)}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                places = map(_place, value if isinstance(value, list) else [value])
                names = {self._names[place] for place in places if place in self._names}
                if names and not OWNERS & set(callers()):
                    self.found |= names
        return func(*args, **(kwargs or {}))


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _place(value: Any) -> int | None:
    return value.untyped_storage().data_ptr() if isinstance(value, Tensor) and value.numel() else None


@check("strategy")
def writes_through_the_oracle(plugin: Plugin) -> None:
    """Parameters and buffers of the network are changed by ``oracle.assign`` and ``oracle.update`` alone."""
    problem = problem_of(plugin)
    run = Run(plugin, problem, budget=short_budget(plugin, problem))
    places = {name: _place(value) for name, value in _tensors(run.model)}
    with Writes(run.model) as writes:
        for _ in run.steps(STEPS):
            run.strategy.recommend()
    moved = [name for name, value in _tensors(run.model) if _place(value) != places.get(name)]
    found = sorted({*writes.found, *moved})
    fail_if(
        found,
        f"it writes into {', '.join(found)} of the network itself: change the network by oracle.assign or "
        "oracle.update, or give a recommendation.",
    )


# -- what is given ----------------------------------------------------------------------------------------------------


@contextmanager
def unchanged(given: Mapping[str, Any], where: str) -> Iterator[None]:
    """Refuse changes of what is given inside, by name; trees of tensors."""
    before = {name: trees.mapped(lambda part: part.detach().clone(), value) for name, value in given.items()}
    yield
    changed = [
        name for name in given if difference(before[name], trees.mapped(lambda part: part.detach(), given[name]))
    ]
    fail_if(changed, f"{where} changes {' and '.join(changed)} in place, which others use: {GIVEN}.")


def is_search(plugin: Plugin) -> bool:
    """Whether a strategy is made of ask and tell."""
    return isinstance(Run(plugin, problem_of(plugin)).strategy, Search)


@check("strategy", applies=is_search)
def leaves_what_it_is_told_alone(plugin: Plugin) -> None:
    """``tell`` changes neither the population nor the losses in place: a hybrid around it has use for both."""
    problem = problem_of(plugin)
    run = Run(plugin, problem, budget=short_budget(plugin, problem))
    search = cast(Search, run.strategy)
    tell = search.tell

    def watched(population: Any, losses: Tensor) -> None:
        given = {"the losses": losses} | ({"the population": population} if isinstance(population, Tensor) else {})
        with unchanged(given, "tell"):
            tell(population, losses)

    vars(search)["tell"] = watched
    run.finish(STEPS)


@check("objective")
def leaves_outputs_and_targets_alone(plugin: Plugin) -> None:
    """``loss``, ``losses`` and the metrics change neither outputs nor targets in place."""
    for case in objectives.cases(plugin):
        outputs, targets = case.outputs(), case.batch[1]
        many = torch.stack([outputs, outputs])
        calls: dict[str, Callable[[], Any]] = {
            "loss": lambda case=case, outputs=outputs: case.objective.loss(outputs, case.batch[1]),
            "losses": lambda case=case, many=many: case.objective.losses(many, case.batch[1]),
        }
        for name, call in calls.items():
            with unchanged({"outputs": outputs, "outputs of a population": many, "targets": targets}, name):
                call()


# -- the process ------------------------------------------------------------------------------------------------------


@contextmanager
def leaving_the_process_alone(draws: bool = True) -> Iterator[None]:
    """Refuse what changes the process for others.

    Args:
        draws: whether the global random generators count, too.
    """
    before = settings()
    with global_seeds(1):
        drawn = global_states()
        yield
        touched = [name for name, state in global_states().items() if draws and difference(state, drawn[name])]
    now = settings()
    changed = [name for name in before if now[name] != before[name]]
    fail_if(changed, f"it changes the whole process ({', '.join(changed)}): put back what was there, or leave it.")
    fail_if(touched, f"it draws from, or seeds, the global generator of {' and '.join(touched)}.")


@check("model", "objective", "encoding", "strategy")
def leaves_the_process_alone(plugin: Plugin) -> None:
    """It changes no setting of torch, numpy or the process; the loss of an objective draws no random number."""
    with leaving_the_process_alone(draws=plugin.kind == "objective"):
        USES[plugin.kind](plugin)


def _use_objective(plugin: Plugin) -> None:
    for case in objectives.cases(plugin):
        case.objective.loss(case.outputs(), case.batch[1])


def _use_encoding(plugin: Plugin) -> None:
    encoding, start = encodings.attached(plugin)
    encoding.decode(encodings.around(start))


def _use_strategy(plugin: Plugin) -> None:
    problem = problem_of(plugin)
    Run(plugin, problem, budget=short_budget(plugin, problem)).finish(STEPS)


USES: dict[str, Callable[[Plugin], Any]] = {
    "model": models.accepted,
    "objective": _use_objective,
    "encoding": _use_encoding,
    "strategy": _use_strategy,
}
