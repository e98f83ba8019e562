"""C9: what finite differences cost to an accuracy, over backpropagation, and how that grows with the parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridopt.core.study import Arm, Judgement, Outcome, Profile, Results, Study, Table, Verdict
from hybridopt.report.interval import Interval
from hybridopt.report.page import interval
from hybridopt.report.statistics import holm
from hybridopt.study.reaching import Reached, log_rank, ratio, reach, within
from hybridopt.study.scaling import exponent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ADAM, COORDINATES, SLOPES = "adam", "coordinate_finite_differences", "forward_gradient"
DIFFERENCES: Mapping[str, tuple[str, ...]] = {  # strategy -> its own overrides
    COORDINATES: ("dataset.batch_size=16",),
    "spsa": (),
    "mezo": (),
    "openai_es": ("strategy.popsize=8",),
}
METHODS: Mapping[str, tuple[str, ...]] = {ADAM: (), SLOPES: ("dataset.batch_size=128",), **DIFFERENCES}
PAIRS = ("spsa", "mezo", "openai_es")
AFFORDABLE = 10.0  # times Adam's cost


@dataclass(frozen=True)
class Task:
    """A data set, and what is asked of a network 'inputs-units-classes' on it.

    Args:
        inputs: of a sample.
        classes: of the data set.
        target: the validation accuracy to be reached.
    """

    inputs: int
    classes: int
    target: float

    def parameters(self, units: int) -> int:
        """Of the network."""
        return (self.inputs + 1) * units + (units + 1) * self.classes


TASKS = {"breast_cancer": Task(30, 2, 0.95), "digits": Task(64, 10, 0.90)}


class FiniteDifferences(Study):
    """The cost of training by finite differences to an accuracy, over that by backpropagation, from d = 68 to 19,210.

    A gradient by differences along all coordinates takes d + 1 losses, and one by backpropagation the time of three;
    differences along random directions take two losses each, and are noisier the more parameters there are. What it
    costs to train is measured: the expected number of forwards until the validation accuracy is first seen at a target
    (ERT), over that of Adam on the same network. Marks at equal ratios, of 12 % each, say when.

    Differences are along the coordinates, at most three hundred at a time, on 16 samples (few of them do for so many
    losses); along random signs (SPSA), one Gaussian direction (MeZO) or four (an evolution strategy with few pairs) on
    64. Forward gradients take exact slopes in the place of differences; they are a control, and do not count for the
    verdict. All are tuned by as many trials. Budgets are what the method needs to reach the target with some to spare;
    Adam's is the smallest, for with more of it tuning would trade speed for a last digit.

    Memory is another matter: a difference needs no more of it than inference, which
    ``fine_tuning_memory`` of hybridopt-reproductions measures.
    """

    number = 9
    claim = "Finite differencing is becoming affordable for networks."
    said_by = "The thread."
    rule = (
        "Of the four kinds of finite differences the one with the least expected cost counts, on the largest network "
        f"of each data set. Supported if it costs at most {AFFORDABLE:g} times what Adam does on each, by the 95 % "
        f"interval of the ratio; refuted if it costs more than {AFFORDABLE:g} times on each; not distinguishable if "
        "neither can be told on any; else mixed. How the ratio grows with the parameters is told besides."
    )
    profiles = {
        "smoke": Profile(
            seeds=2,
            minutes=0.2,
            sizes={"breast_cancer": {"units": [2, 8], "budgets": {ADAM: 2e3, COORDINATES: 2e4, "mezo": 1e4}}},
        ),
        "docs": Profile(
            seeds=8,
            minutes=10,
            trials=5,
            sizes={
                "breast_cancer": {
                    "units": [2, 16, 128],
                    "budgets": {ADAM: 1e4, **dict.fromkeys(DIFFERENCES, 2e5)},
                },
                "digits": {
                    "units": [16, 64, 256],
                    "budgets": {ADAM: 1e5, COORDINATES: 3e6, **dict.fromkeys((*PAIRS, SLOPES), 6e5)},
                },
            },
        ),
        "full": Profile(
            seeds=20,
            minutes=400,
            trials=30,
            sizes={
                "breast_cancer": {
                    "units": [2, 16, 128, 512],
                    "budgets": {ADAM: 2e4, **dict.fromkeys((*DIFFERENCES, SLOPES), 1e6)},
                },
                "digits": {
                    "units": [16, 64, 256],
                    "budgets": {ADAM: 2e5, COORDINATES: 1e7, **dict.fromkeys((*PAIRS, SLOPES), 3e6)},
                },
            },
        ),
    }
    metrics = ("test/accuracy",)
    curve = "val/accuracy"
    base = ("dataset.split_seed=${seed}", "budget.spacing=log", "budget.marks=60")

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        return {
            arm_of(task, units, method): Arm(
                (
                    f"dataset={task}",
                    "dataset.batch_size=64",
                    f"strategy={method}",
                    *METHODS[method],
                    f"model.hidden=[{units}]",
                    f"budget.forwards={forwards:g}",
                ),
                tuned=True,
            )
            for task, sizes in profile.sizes.items()
            for units in sizes["units"]
            for method, forwards in sizes["budgets"].items()
        }

    def judge(self, results: Results) -> Judgement:
        found = compared(results)
        decisive = [cheapest(found, task) for task in sizes_of(results)]
        growth = {
            f"{task}, {method}": grown
            for task, sizes in sizes_of(results).items()
            for method in sizes["budgets"]
            if method != ADAM and (grown := growing(found, task, method)) is not None
        }
        numbers = {f"ratio/{each.task}": each.times.value for each in decisive if math.isfinite(each.times.value)}
        numbers |= {f"exponent/{name}": grown.value for name, grown in growth.items()}
        sentences = [*(said(each) for each in decisive), *(said_of_growth(*each) for each in growth.items())]
        return Judgement(verdict(decisive), sentences, [table(found)], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import legend, panels

        found, sizes = compared(results), sizes_of(results)
        figure, axes = panels(len(sizes))
        for task, panel in zip(sizes, axes, strict=True):
            for method in sizes[task]["budgets"]:
                own = [each for each in found if (each.task, each.method) == (task, method)]
                shown = [each for each in own if math.isfinite(each.times.value)]
                if shown:
                    panel.plot([each.d for each in shown], [each.times.value for each in shown], "o-", label=method)
            panel.axhline(AFFORDABLE, color="grey", linewidth=0.8)
            panel.set(xscale="log", yscale="log", xlabel="parameters d", ylabel=f"{task}: cost over Adam's")
            legend(panel, "x-small")
        return figure


# -- values -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """A method's costs to the target, and Adam's on the same network.

    Args:
        task: the data set.
        method: the strategy.
        d: parameters.
        own, adam: when their runs reach the target.
        times: the ratio of their expected costs.
        p: that they cost the same (log-rank), corrected for all that is compared.
    """

    task: str
    method: str
    d: int
    own: Reached
    adam: Reached
    times: Interval
    p: float

    @property
    def affordable(self) -> bool | None:
        """Whether the ratio is small enough; None where that cannot be told."""
        return within(self.own, self.adam, AFFORDABLE)

    @property
    def ratios(self) -> list[float]:
        """Of the costs, by seed; none where a run does not reach the target."""
        if not all((*self.own.reached, *self.adam.reached)):
            return []
        return [a / b for a, b in zip(self.own.costs, self.adam.costs, strict=False)]


def arm_of(task: str, units: int, method: str) -> str:
    """The name of an arm."""
    return f"{task}, d = {TASKS[task].parameters(units):,}, {method}"


def sizes_of(results: Results) -> Mapping[str, Mapping]:
    """By data set, the hidden units and the methods that were run."""
    return FiniteDifferences.profiles[results.profile].sizes


def compared(results: Results) -> list[Compared]:
    """Each method but Adam, on each network."""
    found = []
    for task, sizes in sizes_of(results).items():
        for units in sizes["units"]:
            d, arms = TASKS[task].parameters(units), {name: arm_of(task, units, name) for name in sizes["budgets"]}
            costs = {name: reached(results.arms.get(arm, ()), task) for name, arm in arms.items()}
            found += [(task, name, d, own, costs[ADAM]) for name, own in costs.items() if name != ADAM]
    ps = holm([log_rank(own, adam) for *_, own, adam in found])
    return [
        Compared(task, name, d, own, adam, ratio(own, adam), p)
        for (task, name, d, own, adam), p in zip(found, ps, strict=True)
    ]


def reached(runs: Sequence[Outcome], task: str) -> Reached:
    """When runs reach the target of their task."""
    return reach(runs, TASKS[task].target, higher=True)


def cheapest(found: Sequence[Compared], task: str) -> Compared:
    """The finite differences with the least cost, on the largest network of a data set."""
    own = [each for each in found if each.task == task and each.method in DIFFERENCES]
    largest = max(each.d for each in own)
    return min((each for each in own if each.d == largest), key=lambda each: each.own.expected.value)


def growing(found: Sequence[Compared], task: str, method: str) -> Interval | None:
    """The exponent of the ratio over d, on networks on which all runs get there; None of fewer than two of them."""
    own = [each for each in found if (each.task, each.method) == (task, method)]
    ratios = {float(each.d): each.ratios for each in own if each.ratios}
    return exponent(ratios) if len(ratios) > 1 else None


def verdict(decisive: Sequence[Compared]) -> Verdict:
    """By the rule."""
    told = [each.affordable for each in decisive]
    if all(each is True for each in told):
        return "supported"
    if all(each is False for each in told):
        return "refuted"
    return "not distinguishable" if all(each is None for each in told) else "mixed"


# -- what is said -----------------------------------------------------------------------------------------------------


def said(each: Compared) -> str:
    """The least cost of finite differences on a data set."""
    start = f"On {each.task} with d = {each.d:,} the cheapest finite differences ({each.method})"
    target = f"{TASKS[each.task].target:.0%}"
    if not any(each.adam.reached):
        return f"On {each.task} with d = {each.d:,} Adam never reaches an accuracy of {target}."
    if not any(each.own.reached):
        return f"{start} never reach an accuracy of {target}; nor do the others."
    return f"{start} reach {target} at {interval(each.times)} times Adam's cost (log-rank p = {each.p:.2g})."


def said_of_growth(name: str, grown: Interval) -> str:
    """The exponent of a method on a data set."""
    return f"{name}: the ratio to Adam's cost grows with d by an exponent of {interval(grown)}."


def table(found: Sequence[Compared]) -> Table:
    """All costs."""
    head = ["data set", "d", "method", "forwards to target", "runs", "Adam's", "ratio", "log-rank p"]
    rows = [
        [each.task, f"{each.d:,}", each.method, interval(each.own.expected), hits(each.own),
         interval(each.adam.expected), interval(each.times), f"{each.p:.2g}"]
        for each in found
    ]  # fmt: skip
    targets = ", ".join(f"{name} {task.target:.0%}" for name, task in TASKS.items())
    return Table(head, rows, f"Expected forwards to a validation accuracy ({targets})")


def hits(each: Reached) -> str:
    """How many runs get there."""
    return f"{sum(each.reached)} of {len(each.reached)}"
