"""C3: a random hidden layer and a last layer in closed form, against a network that is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hybridopt.core.study import Arm, Judgement, Profile, Results, Study, Verdict
from hybridopt.study.comparing import Compared, compare_values, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASKS: Mapping[str, tuple[str, tuple[str, ...]]] = {  # data set -> the metric that counts, and its own overrides
    "digits": ("accuracy", ()),
    "breast_cancer": ("accuracy", ()),
    "wine": ("accuracy", ()),
    "diabetes": ("r2", ("objective=mse",)),
}
MACHINE, NETWORK = "closed form", "trained"
MARGIN = 0.02  # of accuracy or r2, up to which the two are as good as each other


class ClosedForm(Study):
    """An extreme learning machine against a network that is trained by gradients, on four real data sets.

    The machine draws its hidden layer and solves the last one by ridge regression, in two thousand forwards. It is said
    to be a baseline and no more. Both get the same number of trials for their settings, judged by validation; the
    network descends by Adam. Each seed has a split of its own, so that no lucky split decides.
    """

    number = 3
    claim = "Extreme learning machines are only a baseline: a network that is trained is better."
    said_by = "The thread."
    rule = (
        "Supported if the trained network is better on the test of each data set (p < .05, paired by seed, Holm); "
        f"refuted if it is better on none, and on half of them or more as good as the machine up to {MARGIN}, or "
        "worse; not distinguishable if nothing of this can be told on any; else mixed."
    )
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.2, sizes={"tasks": ["wine"], "forwards": 1e4}),
        "docs": Profile(seeds=10, minutes=1.5, trials=8, sizes={"tasks": list(TASKS), "forwards": 5e5}),
        "full": Profile(seeds=20, minutes=50, trials=30, sizes={"tasks": list(TASKS), "forwards": 5e5}),
    }
    metrics = ("test/accuracy", "test/r2", "test/loss")
    base = ("dataset.split_seed=${seed}",)

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        ways = {
            MACHINE: ("strategy=extreme_learning_machine", "model=random_features", "budget.forwards=2000"),
            NETWORK: ("strategy=adam", "model.hidden=[64]", f"budget.forwards={profile.sizes['forwards']:g}"),
        }
        return {
            arm_of(task, way): Arm(
                (f"dataset={task}", *TASKS[task][1], *overrides), True, f"final/val/{TASKS[task][0]}"
            )
            for task in profile.sizes["tasks"]
            for way, overrides in ways.items()
        }

    def judge(self, results: Results) -> Judgement:
        found = compared(results)
        numbers = {
            arm_of(task, way): mean(results, task, way) for task in tasks_of(results) for way in (MACHINE, NETWORK)
        }
        return Judgement(verdict(found), [f"{each}." for each in found], [table(found)], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import dots, panels

        tasks = tasks_of(results)
        figure, axes = panels(len(tasks), height=1.4)
        for task, panel in zip(tasks, axes, strict=True):
            values = {way: list(values_of(results, task, way).values()) for way in (MACHINE, NETWORK)}
            dots(panel, values, f"{task}, test {TASKS[task][0]}")
        return figure


def arm_of(task: str, way: str) -> str:
    """The name of an arm."""
    return f"{task}, {way}"


def tasks_of(results: Results) -> list[str]:
    """The data sets that were run."""
    return [task for task in TASKS if arm_of(task, MACHINE) in results.arms]


def values_of(results: Results, task: str, way: str) -> dict[str, float]:
    """The metric of the test, by seed."""
    return results.values(arm_of(task, way), f"test/{TASKS[task][0]}", higher=True)


def mean(results: Results, task: str, way: str) -> float:
    """Of the metric of the test, over seeds."""
    return float(np.mean(list(values_of(results, task, way).values())))


def compared(results: Results) -> list[Compared]:
    """The trained network and the machine, on each data set."""
    tasks = tasks_of(results)
    values = {arm_of(task, way): values_of(results, task, way) for task in tasks for way in (MACHINE, NETWORK)}
    pairs = [(arm_of(task, NETWORK), arm_of(task, MACHINE)) for task in tasks]
    return compare_values(values, pairs, True, MARGIN, [f"test/{TASKS[task][0]}" for task in tasks])


def verdict(found: Sequence[Compared]) -> Verdict:
    """By the rule."""
    better = [each.better == each.a for each in found]
    as_good = [each.better == each.b or each.equivalent for each in found]
    if all(better):
        return "supported"
    if not any(better) and 2 * sum(as_good) >= len(found):
        return "refuted"
    return "mixed" if any(better) or any(as_good) else "not distinguishable"
