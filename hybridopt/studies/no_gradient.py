"""C10: whether a search is the tool where a loss has no derivative, or a derivative that is borrowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybridopt.core.study import Arm, Judgement, Profile, Results, Study, Verdict
from hybridopt.study.comparing import Compared, compare_values, table
from hybridopt.study.leading import leader, pairs_of, peer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN = 0.02  # of accuracy, F1 or the area under the ROC curve, up to which two arms are as good as each other
SMOOTH = "smooth"  # the task whose loss has a derivative
AUC = "auc"  # a metric that is no metric of its runs: 1 - it is what their objective gives as the test's loss


@dataclass(frozen=True)
class Task:
    """A problem, and who is set to it.

    Args:
        metric: of the test, by which arms are compared; more is better. A metric that runs report, or :data:`AUC`.
        base: overrides of all arms.
        searches: name -> overrides, of arms that take no derivative.
        gradients: the same, of arms that descend a derivative, true or borrowed.
        hybrids: of arms that do both; they are shown, and do not enter the verdict.
        times: how many times the profile's forwards its arms have.
    """

    metric: str
    base: tuple[str, ...]
    searches: Mapping[str, tuple[str, ...]]
    gradients: Mapping[str, tuple[str, ...]]
    hybrids: Mapping[str, tuple[str, ...]]
    times: float = 1.0


def searches(*names: str, objective: str = "cross_entropy") -> dict[str, tuple[str, ...]]:
    """Arms by the names of their strategies."""
    return {name: (f"strategy={name}", f"objective={objective}") for name in names}


SURROGATE = ("strategy=adam", "objective=sigmoid_zero_one")
CONVEX = {"cross-entropy, adam": ("strategy=adam", "objective=cross_entropy")}
STAND_IN = {"sigmoid of the margin, adam": SURROGATE}
SPLIT = (
    "strategy=split",
    "+strategy/groups@strategy.groups.hidden=snes",
    "+strategy/groups@strategy.groups.head=adam",
    "+strategy.patterns.hidden='1.*'",
    "model.straight_through=false",
)
F1_ARMS = (searches("snes", "cem", "genetic_algorithm", objective="f1"), {**CONVEX, **STAND_IN}, {})
CANCER = ("dataset=breast_cancer", "dataset.val_fraction=0.4", "dataset.test_fraction=0.4", "model=linear")


def on_area(loss: str, strategy: str = "adam") -> tuple[str, ...]:
    """An arm that descends another loss, in a run that is judged by the area under the ROC curve."""
    return ("objective=auc", "strategy=surrogate", f"strategy/inner={strategy}", f"strategy/objective={loss}")


AREA_SEARCHES = searches("snes", "cem", "genetic_algorithm", objective="auc")
AREA_CONVEX = {"cross-entropy, adam": on_area("cross_entropy"), "hinge, adam": on_area("hinge")}
AREA_STAND_IN = {"sigmoid of the margin, adam": on_area("sigmoid_zero_one")}
AREA_STARTS = {"sigmoid of the margin, best of several starts": on_area("sigmoid_zero_one", "multistart")}
AREA_HYBRIDS = {
    "cross-entropy by adam, then snes": (
        "objective=auc",
        "strategy=sequence",
        "+strategy/phases@strategy.phases.descent=surrogate",
        "+strategy/phases@strategy.phases.search=snes",
    ),
    "es guided by the cross-entropy": ("objective=auc", "strategy=guided_es"),
}
TASKS = {
    SMOOTH: Task(
        "accuracy",
        ("model=mlp", "model.hidden=[64]"),
        searches("snes", "ensemble_kalman_inversion", "genetic_algorithm"),
        CONVEX,
        {},
    ),
    "errors": Task(
        "accuracy",
        ("dataset=outliers", "model=linear"),
        searches("snes", "cem", "genetic_algorithm", objective="zero_one"),
        {
            **CONVEX,
            "hinge, adam": ("strategy=adam", "objective=hinge"),
            **STAND_IN,
            "sigmoid of the margin, best of several starts": ("strategy=multistart", "objective=sigmoid_zero_one"),
        },
        {},
    ),
    "steps": Task(
        "accuracy",
        ("model=heaviside_mlp",),
        searches("snes", "ensemble_kalman_inversion", "openai_es", "genetic_algorithm", "spsa"),
        {
            "straight-through, adam": ("strategy=adam",),
            "head alone, adam": ("strategy=adam", "model.straight_through=false"),
        },
        {"snes before the steps, adam behind": SPLIT},
        times=2.5,
    ),
    "F1 of two classes": Task("f1", CANCER, *F1_ARMS),
    "F1 of ten classes": Task("f1", ("model=linear",), *F1_ARMS),
    "AUC of two classes": Task(AUC, CANCER, AREA_SEARCHES, {**AREA_CONVEX, **AREA_STAND_IN}, AREA_HYBRIDS),
    "AUC with outliers": Task(
        AUC,
        ("dataset=outliers", "model=linear"),
        AREA_SEARCHES,
        {**AREA_CONVEX, **AREA_STAND_IN, **AREA_STARTS},
        AREA_HYBRIDS,
    ),
}


class NoGradient(Study):
    """A task with a derivative and six without, by searches and by descent of what has one in its place.

    The rule of thumb has two halves. Where the derivative exists (``smooth``: a network on digits) descent by Adam is
    to lead. Where it does not, a search is to: the share of errors of a plane, where a tenth of the labels are wrong
    and far out (``errors``); a network whose units fire or do not (``steps``); F1, on two classes and on ten; and the
    area under the ROC curve, on two classes and on the plane with its outliers.

    That a derivative does not exist does not keep anybody from descending: cross-entropy and the hinge stand in for
    errors, as the sigmoid of the margin does, which outliers cannot pull; the straight-through estimator takes steps
    for ramps; and the last layer has a gradient in any case. So the question is whether a search on the loss itself
    beats descent of a loss or a network in its place. Each arm of a task has the same forwards, a backward pass counted
    as two, and the same number of trials for its settings, judged by the metric that counts; each seed has a split of
    its own. ``steps`` has more forwards than the others, for its searches learn slowly. Searches are the library's most
    general ones; the sigmoid has an arm of several starts, since it is not convex. Runs that are judged by the area
    under the curve have it as their objective, and their descents train on a loss in its place (``surrogate``), so that
    all report it; the cross-entropy is consistent for it (Agarwal 2014, https://jmlr.org/papers/v15/agarwal14b.html).
    """

    number = 10
    claim = "If the derivative exists, use gradients; otherwise use gradient-free methods."
    said_by = "The thread."
    rule = (
        "An arm leads on a task if it is better than each arm of the other camp on the test (p < .05, paired by seed, "
        "Holm over all pairs of a search and a descent, on all tasks). Supported if descent leads where the derivative "
        "exists, and a search leads on each of the six tasks without; refuted if a search leads where it exists, or "
        f"if on each of the six some descent is better than each search, or as good up to {MARGIN}; not "
        "distinguishable if nobody leads anywhere; else mixed."
    )
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.3, sizes={"tasks": ["errors", "steps"], "forwards": 4e4}),
        "docs": Profile(seeds=10, minutes=14, trials=5, judges=2, sizes={"tasks": list(TASKS), "forwards": 6e5}),
        "full": Profile(seeds=20, minutes=240, trials=30, judges=3, sizes={"tasks": list(TASKS), "forwards": 3e6}),
    }
    metrics = ("test/accuracy", "test/f1", "test/loss")
    base = ("dataset.split_seed=${seed}", "budget.marks=10")

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        forwards = profile.sizes["forwards"]
        return {
            arm_of(name, way): Arm(
                (*task.base, f"budget.forwards={task.times * forwards:g}", *overrides), True, tuned_for(task)
            )
            for name, task in TASKS.items()
            if name in profile.sizes["tasks"]
            for way, overrides in {**task.searches, **task.gradients, **task.hybrids}.items()
        }

    def judge(self, results: Results) -> Judgement:
        tasks = tasks_of(results)
        found = compared(results, tasks)
        leaders = {task: leaders_of(task, found) for task in tasks}
        said, numbers = [], {}
        for task, (search, descent, _) in leaders.items():
            best = {camp: best_of(results, task, camp) for camp in ("searches", "gradients", "hybrids")}
            shown = [f"{way} {value:.3f}" for way, value in best.values() if way]
            who = search or descent
            said.append(
                f"On {task} the best of each camp, by mean test {TASKS[task].metric}: {', '.join(shown)}. "
                + (f"{bare(who)} leads." if who else "No arm is better than all of the other camp.")
            )
            numbers |= {f"{task}/{camp}": value for camp, (way, value) in best.items() if way}
        return Judgement(verdict(leaders), said, [table(found)], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import dots, panels

        tasks = tasks_of(results)
        figure, axes = panels(len(tasks), columns=1, height=2.6)
        for task, panel in zip(tasks, axes, strict=True):
            values = {way: list(values_of(results, task, way).values()) for way in ways(task)}
            dots(panel, values, f"{task}, test {TASKS[task].metric}")
        return figure


# -- arms -------------------------------------------------------------------------------------------------------------


def arm_of(task: str, way: str) -> str:
    """The name of an arm."""
    return f"{task}: {way}"


def bare(arm: str) -> str:
    """The name of an arm, without its task."""
    return arm.partition(": ")[2]


def ways(task: str) -> list[str]:
    """All arms of a task, without its name."""
    return [*TASKS[task].searches, *TASKS[task].gradients, *TASKS[task].hybrids]


def camp_of(task: str, camp: str) -> list[str]:
    """The names of the arms of a camp."""
    return [arm_of(task, way) for way in getattr(TASKS[task], camp)]


def tasks_of(results: Results) -> list[str]:
    """The tasks of which something was run."""
    return [task for task in TASKS if any(results.arms.get(arm_of(task, way)) for way in ways(task))]


def tuned_for(task: Task) -> str:
    """The metric by which trials are judged."""
    return "final/val/loss" if task.metric == AUC else f"final/val/{task.metric}"


def values_of(results: Results, task: str, way: str) -> dict[str, float]:
    """The metric of the test, by seed; 0, the least, of runs that have diverged."""
    if TASKS[task].metric == AUC:
        values = {seed: 1 - loss for seed, loss in results.values(arm_of(task, way), "test/loss").items()}
    else:
        values = results.values(arm_of(task, way), f"test/{TASKS[task].metric}", higher=True)
    return {seed: max(0.0, value) if value == value else 0.0 for seed, value in values.items()}


def best_of(results: Results, task: str, camp: str) -> tuple[str, float]:
    """The arm of a camp whose mean is the highest, and its mean; no name where there is no run."""
    values = {way: list(values_of(results, task, way).values()) for way in getattr(TASKS[task], camp)}
    means = {way: sum(of) / len(of) for way, of in values.items() if of}
    return max(means.items(), key=lambda item: item[1], default=("", float("nan")))


# -- what is said -----------------------------------------------------------------------------------------------------


def compared(results: Results, tasks: Sequence[str]) -> list[Compared]:
    """Each search with each descent, on each task."""
    values = {arm_of(task, way): values_of(results, task, way) for task in tasks for way in ways(task)}
    pairs = [pair for task in tasks for pair in pairs_of(camp_of(task, "searches"), camp_of(task, "gradients"))]
    return compare_values(values, pairs, higher=True, margin=MARGIN)


def leaders_of(task: str, found: Sequence[Compared]) -> tuple[str | None, str | None, str | None]:
    """The search that leads, the descent that leads, and the descent that is as good as each search or better."""
    ours, theirs = camp_of(task, "searches"), camp_of(task, "gradients")
    return leader(found, ours, theirs), leader(found, theirs, ours), peer(found, theirs, ours)


def verdict(leaders: Mapping[str, tuple[str | None, str | None, str | None]]) -> Verdict:
    """By the rule; what was not run supports and refutes nothing."""
    without = {task: found for task, found in leaders.items() if task != SMOOTH}
    search, descent, _ = leaders.get(SMOOTH, (None, None, None))
    if descent and without and all(found[0] for found in without.values()):
        return "supported"
    if search or (without and all(found[1] or found[2] for found in without.values())):
        return "refuted"
    led = any(found[0] or found[1] for found in leaders.values())
    return "mixed" if led else "not distinguishable"
