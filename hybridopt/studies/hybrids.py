"""C22: hybrids against their own parents, on tasks where one might expect them to win."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hybridopt.core.study import Arm, Judgement, Profile, Results, Study, Verdict
from hybridopt.study.comparing import Compared, compare_values, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HYBRID = "hybrid"
SHARE = 0.75  # of the tasks, that hybrids must win


@dataclass(frozen=True)
class Task:
    """A place where a hybrid might win.

    Args:
        why: one might expect it.
        base: overrides that all arms share.
        hybrid: overrides of the hybrid.
        parents: overrides of its two parts alone, by name.
        others: overrides of other baselines, which are shown and decide nothing.
        metric: of the test, compared.
        higher: whether more of it is better.
    """

    why: str
    base: tuple[str, ...]
    hybrid: tuple[str, ...]
    parents: Mapping[str, tuple[str, ...]]
    others: Mapping[str, tuple[str, ...]]
    metric: str = "test/loss"
    higher: bool = False

    def arms(self) -> dict[str, tuple[str, ...]]:
        """All of them, the hybrid first."""
        return {HYBRID: self.hybrid, **self.parents, **self.others}

    def shared(self, share: float) -> tuple[str, ...]:
        """What all arms share, with so much of the budget."""
        parts = (override.partition("=") for override in self.base)
        return tuple(f"{k}={float(v) * share:g}" if k == "budget.forwards" else f"{k}={v}" for k, _, v in parts)


def sequence(first: str, second: str, *more: str) -> tuple[str, ...]:
    """Overrides of two phases."""
    phases = "+strategy/phases@strategy.phases"
    return ("strategy=sequence", f"{phases}.first={first}", f"{phases}.second={second}", *more)


SHARDS = ("by=label", "together=0.02")  # a branch has two or three digits, and little is known to all
SIGMOID = "strategy/phases/objective@strategy.phases.first.objective=sigmoid_zero_one"

TASKS = {
    "biased_gradient": Task(
        "Two layers of units that fire or do not, and the straight-through gradient, which takes them for ramps: it "
        "points nearly downhill, and the evolution strategy samples along it.",
        ("model=heaviside_mlp", "model.hidden=[64,64]", "budget.forwards=3e6"),
        ("strategy=guided_es",),
        {"search alone": ("strategy=snes",), "descent alone": ("strategy=adam",)},
        {"the same search, unguided": ("strategy=guided_es", "strategy.alpha=1")},
    ),
    "heaviside": Task(
        "Hidden units that fire or do not: only the last layer has a gradient.",
        ("model=heaviside_mlp", "model.straight_through=false", "budget.forwards=1e6"),
        (
            "strategy=split",
            "+strategy/groups@strategy.groups.hidden=snes",
            "+strategy/groups@strategy.groups.head=adam",
            "+strategy.patterns.hidden='1.*'",
        ),
        {"search alone": ("strategy=snes",), "descent alone": ("strategy=adam",)},
        {"straight-through gradient": ("strategy=adam", "model.straight_through=true")},
    ),
    "few_labels": Task(
        "A hundred labelled digits: what smooths the loss might find what generalises.",
        (
            *("dataset.val_fraction=0.47", "dataset.test_fraction=0.47", "dataset.batch_size=null"),
            "budget.forwards=5e5",
        ),
        sequence("openai_es", "adam"),
        {"search alone": ("strategy=openai_es",), "descent alone": ("strategy=adam",)},
        {},
    ),
    "multimodal": Task(
        "Two sines of unknown frequencies: descent finds those that it starts near to.",
        (
            *("dataset=tones", "dataset.tones=2", "objective=mse", "model.hidden=[2]", "model.activation=sin"),
            "budget.forwards=4e5",
        ),
        sequence("differential_evolution", "lbfgs", "+strategy.shares.first=0.9", "strategy.phases.first.sigma=1"),
        {"search alone": ("strategy=differential_evolution", "strategy.sigma=1"), "descent alone": ("strategy=lbfgs",)},
        {
            "many starts, then descent": sequence("multistart", "lbfgs", "strategy.phases.first.popsize=32"),
            "another search": ("strategy=snes",),
        },
    ),
    "outliers": Task(
        "Labels that are wrong and far out mislead a convex loss: descent on a stand-in, then a search on the errors.",
        ("dataset=outliers", "model.hidden=[16]", "objective=zero_one", "budget.forwards=1.5e6"),
        sequence("surrogate", "snes", SIGMOID),
        {
            "search alone": ("strategy=snes",),
            "descent alone": ("strategy=surrogate", "strategy/objective=sigmoid_zero_one"),
        },
        {},
    ),
    "deep_tanh": Task(
        "Twenty plain layers of tanh units, as torch initialises them: the gradient vanishes on its way.",
        (f"model.hidden={[32] * 20}".replace(" ", ""), "model.activation=tanh", "budget.forwards=1e6"),
        sequence("genetic_algorithm", "adam"),
        {"search alone": ("strategy=genetic_algorithm",), "descent alone": ("strategy=adam",)},
        {"random steps, then descent": sequence("random_search", "adam")},
        "test/accuracy",
        True,
    ),
    "deceptive": Task(
        "A robot whose straight way to the goal passes a wall, and pays for it; the way around begins away from the "
        "goal.",
        (
            *("model=point_robot", "model.hidden=128", "dataset=detour", "dataset.samples=48", "dataset.spread=0.25"),
            *("objective=mse", "budget.forwards=2e5"),
        ),
        sequence("genetic_algorithm", "adam", "+strategy.shares.first=0.6"),
        {"search alone": ("strategy=genetic_algorithm",), "descent alone": ("strategy=adam",)},
        {"random steps, then descent": sequence("random_search", "adam", "+strategy.shares.first=0.6")},
    ),
    "shards": Task(
        "Digits that may not be brought together: four branches with two or three of them each descend apart, and from "
        "their mean a search goes on, which asks them for losses only.",
        ("budget.forwards=3e5",),
        sequence("branch_train", "snes", *(f"strategy.phases.first.{setting}" for setting in SHARDS)),
        {
            "search alone": ("strategy=snes",),
            "descent alone": ("strategy=branch_train", *(f"strategy.{setting}" for setting in SHARDS)),
        },
        {
            "a search for how they are mixed": sequence(
                *("branch_train", "merge", "strategy.phases.second.count=5"),
                *(f"strategy.phases.first.{setting}" for setting in SHARDS),
            ),
            "descent on all digits": ("strategy=adam",),
        },
        "test/accuracy",
        True,
    ),
}


class Hybrids(Study):
    """Eight tasks where one might expect a hybrid of search and descent to win, each against its two parts alone.

    Every arm has the same budget, the same number of tuning trials over what its strategy declares, each judged by the
    same seeds, and the same fresh seeds. The parents decide; other baselines are shown beside them. Tasks and hybrids
    were chosen by validation on other seeds, so that this says where hybrids can win, and not how often they do.
    """

    number = 22
    claim = "Hybrids of gradient descent and search beat both of their parents."
    said_by = "This project's own thesis."
    rule = (
        "A hybrid wins a task if it is better than each of its two parents on the test (p < .05, paired by seed, Holm "
        f"over all comparisons). Supported if it wins at least {SHARE:.0%} of the tasks, refuted if it wins none and a "
        "parent is better on one or more, not distinguishable if nothing is better on any; else mixed."
    )
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.3, sizes={"tasks": ["heaviside"], "budget": 0.05}),
        "docs": Profile(seeds=15, minutes=35, trials=12, judges=3, sizes={"tasks": list(TASKS), "budget": 1.0}),
        "full": Profile(seeds=30, minutes=120, trials=30, judges=3, sizes={"tasks": list(TASKS), "budget": 1.0}),
    }
    metrics = ("test/loss", "test/accuracy")

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        return {
            arm_of(name, arm): Arm((*TASKS[name].shared(profile.sizes["budget"]), *overrides), tuned=True)
            for name in profile.sizes["tasks"]
            for arm, overrides in TASKS[name].arms().items()
        }

    def judge(self, results: Results) -> Judgement:
        found = compared(results)
        won = {name: all(each.better == each.a for each in pairs) for name, pairs in found.items()}
        told = [f"{name}, {'won' if won[name] else 'not won'}: {'; '.join(map(str, found[name]))}." for name in found]
        tables = [table([each for pairs in found.values() for each in pairs], "Hybrids and their parents, on the test")]
        numbers = {
            f"{name}/{arm}": float(np.median(list(values.values())))
            for name in found
            for arm in TASKS[name].arms()
            if (values := values_of(results, name, arm))
        }
        return Judgement(verdict(found), told, tables, numbers | {"won": sum(won.values()), "tasks": len(won)})

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import dots, panels

        tasks = tasks_of(results)
        figure, axes = panels(len(tasks), height=1.8)
        for name, panel in zip(tasks, axes, strict=True):
            values = {arm: list(values_of(results, name, arm).values()) for arm in TASKS[name].arms()}
            dots(panel, values, TASKS[name].metric, log=not TASKS[name].higher)
            panel.set_title(name)
        return figure


def arm_of(task: str, arm: str) -> str:
    """The name of an arm in the study."""
    return f"{task}, {arm}"


def tasks_of(results: Results) -> list[str]:
    """Those that were run."""
    return [name for name in TASKS if arm_of(name, HYBRID) in results.arms]


def values_of(results: Results, task: str, arm: str) -> dict[str, float]:
    """What is compared, by seed."""
    return results.values(arm_of(task, arm), TASKS[task].metric, TASKS[task].higher)


def compared(results: Results) -> dict[str, list[Compared]]:
    """Each hybrid with its parents, by task; p-values are corrected for all of them together."""
    asked = [(name, parent) for name in tasks_of(results) for parent in TASKS[name].parents]
    arms = {(name, arm) for name, parent in asked for arm in (HYBRID, parent)}
    values = {arm_of(name, arm): values_of(results, name, arm) for name, arm in arms}
    pairs = [(arm_of(name, HYBRID), arm_of(name, parent)) for name, parent in asked]
    tasks = [TASKS[name] for name, _ in asked]
    found = compare_values(values, pairs, [task.higher for task in tasks], metric=[task.metric for task in tasks])
    by_task: dict[str, list[Compared]] = {}
    for (name, _), each in zip(asked, found, strict=True):
        by_task.setdefault(name, []).append(each)
    return by_task


def verdict(found: Mapping[str, Sequence[Compared]]) -> Verdict:
    """By the rule."""
    won = sum(all(each.better == each.a for each in pairs) for pairs in found.values())
    better = [each.better for pairs in found.values() for each in pairs if each.better is not None]
    if won >= SHARE * len(found):
        return "supported"
    if not better:
        return "not distinguishable"
    lost = any(each.better == each.b for pairs in found.values() for each in pairs)
    return "refuted" if not won and lost else "mixed"
