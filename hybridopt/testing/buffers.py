"""Whether tensors are where they are moved to the device, and saved: in parameters and buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric

from hybridopt.composition.registry import Plugin
from hybridopt.testing import encodings, models, objectives
from hybridopt.testing.kit import check, fail_if
from hybridopt.testing.problems import Problem, problem_of
from hybridopt.testing.runs import Run, difference, short_budget

TORCHS = frozenset(vars(nn.Module()))  # attributes in which torch keeps what it knows of
STEPS = 3

Places = dict[tuple[str, str], Any]  # (path of a module, attribute) -> value


def plain_tensors(module: nn.Module) -> Places:
    """The tensors, also in lists and dictionaries, that modules hold as plain attributes."""
    found: Places = {}
    for path, part in module.named_modules():
        if not isinstance(part, Metric):  # which moves its states by itself
            found |= {
                (path, name): value
                for name, value in vars(part).items()
                if name not in TORCHS and any(isinstance(item, Tensor) for item in _items(value))
            }
    return found


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set):
        yield from value
    else:
        yield value


def _named(places: Any) -> str:
    return " and ".join(f"self.{'.'.join(filter(None, place))}" for place in places)


def _refuse(places: Any, what: str) -> None:
    fail_if(
        list(places),
        f"{what} a tensor in the plain attribute {_named(places)}, which is not moved to the device and not saved: "
        "keep it by self.register_buffer(name, value).",
    )


@check("model", "objective")
def keeps_tensors_in_buffers(plugin: Plugin) -> None:
    """What it holds are parameters and buffers: a plain attribute stays on the CPU, and out of checkpoints."""
    for case in models.accepted(plugin) if plugin.kind == "model" else objectives.cases(plugin):
        held = case.model if isinstance(case, models.Case) else case.objective
        _refuse(plain_tensors(held), f"for {case.spec} it holds")


@check("encoding", "strategy")
def keeps_its_state_in_buffers(plugin: Plugin) -> None:
    """A tensor that is needed later is no plain attribute, which stays where it is and is lost by a resume.

    What a strategy's step leaves for nobody may be one, and so may what ``get_extra_state`` saves, or an encoding's
    ``attach`` binds, which is called after each load.
    """
    if plugin.kind == "encoding":
        _encoding_state(plugin)
    else:
        _strategy_state(plugin)


def _encoding_state(plugin: Plugin) -> None:
    bound = encodings.build(plugin)
    bound.attach(encodings.parameters(plugin))
    begun, start = encodings.attached(plugin)
    begun.decode(encodings.around(start))
    before, after = plain_tensors(bound), plain_tensors(begun)
    _refuse(
        [place for place in after if place not in before or difference(before[place], after[place])], "begin leaves"
    )


def _strategy_state(plugin: Plugin) -> None:
    problem = problem_of(plugin)
    budget = short_budget(plugin, problem)
    whole = Run(plugin, problem, budget=budget).finish(STEPS)
    left = plain_tensors(whole.strategy)
    if left and not _survives(whole, plugin, problem):
        fresh = Run(plugin, problem, budget=budget).strategy
        _refuse([place for place in left if not _spared(whole, fresh, place, plugin, problem)], "it keeps")


def _survives(whole: Run, plugin: Plugin, problem: Problem) -> bool:
    """Whether a run ends as it did where it is saved, built again and loaded before its last step."""
    budget = whole.ledger.budget
    run = Run(plugin, problem, budget=budget).finish(whole.taken - 1)
    return _ends_alike(whole, lambda: Run(plugin, problem, budget=budget).load(run.save()).finish(whole.taken))


def _spared(whole: Run, fresh: nn.Module, place: tuple[str, str], plugin: Plugin, problem: Problem) -> bool:
    """Whether a run ends as it did where an attribute is, before each step, what a new object has there."""
    path, name = place

    def without() -> Run:
        run = Run(plugin, problem, budget=whole.ledger.budget)
        for _ in run.steps(whole.taken):
            part, new = run.strategy.get_submodule(path), fresh.get_submodule(path)
            vars(part).pop(name, None)
            vars(part).update({name: vars(new)[name]} if name in vars(new) else {})
        return run

    return _ends_alike(whole, without)


def _ends_alike(whole: Run, again: Callable[[], Run]) -> bool:
    try:
        run = again()
        return not difference(whole.state(), run.state()) and not difference(whole.answer(), run.answer())
    except Exception:  # which an attribute that is not there raises
        return False
