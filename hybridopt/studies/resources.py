"""C17: how many times Adam's forwards an evolution strategy takes to the same accuracy."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridopt.api import run
from hybridopt.core.study import Arm, Cell, Judgement, Outcome, Profile, Results, Study, Table, Verdict
from hybridopt.report.interval import Interval
from hybridopt.report.page import interval
from hybridopt.report.statistics import holm
from hybridopt.report.verdict import number
from hybridopt.study.reaching import Reached, log_rank, ratio, reach, within

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ADAM, ES = "adam", "openai_es"
FEW = 10.0  # times, up to which it is a few: Salimans et al. report 3 to 10 times the data of A3C
TARGETS = (0.85, 0.90, 0.95)  # of validation accuracy
FINE_TUNED = "fine-tuning"
WAYS: Mapping[str, tuple[str, ...]] = {ADAM: ("strategy=adam",), ES: ("strategy=openai_es", "strategy.popsize=50")}
STEP_SIZES = {ADAM: [0.001, 0.003, 0.01, 0.03, 0.1], ES: [0.005, 0.01, 0.02, 0.05, 0.1]}  # of fine-tuning
UNITS = 32  # of the network that is fine-tuned
MARKS = ("budget.spacing=log", "budget.marks=60")
QUIET = ("tracking=none", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu")


class Resources(Study):
    """The cost of OpenAI's evolution strategy to an accuracy on digits over that of Adam, trained and fine-tuned.

    Salimans et al. 2017 report that their strategy takes three to ten times the data of A3C on Atari, so that ten times
    is what "a few" allows here. Cost is the expected number of forwards until the validation accuracy is first seen at
    a target (ERT), where a gradient counts three; marks at equal ratios, of 12 % each, say when. Runs that never reach
    it count with all that they have spent. Adam has a smaller budget: each side has what lets it just reach the highest
    target, for with more of it tuning would trade speed for a last digit.

    From scratch, both are tuned at each size of the network by as many trials for their validation loss. Fine-tuning
    goes from weights that Adam has trained on digits to digits that are moved by a pixel down and right. Both sides
    have five step sizes there, of which the one counts with the least cost to the highest target that it reaches. That
    is chosen by the seeds that count, which flatters both alike.
    """

    number = 17
    claim = "Evolution strategies perform reasonably, and need only a few times the resources of the gradient."
    said_by = "The thread; Salimans, Ho, Chen, Sidor and Sutskever 2017, https://arxiv.org/abs/1703.03864."
    rule = (
        f"The ratio of expected costs is a few times if its 95 % interval ends at {FEW:g} or below, and more if it "
        f"begins above {FEW:g}; where no run of the strategy gets there, it begins at its budget over Adam's cost. "
        "Supported if it is a few times in more than half of all cases (each target, from scratch at each size and "
        "fine-tuning); refuted if it is more in more than half; not distinguishable if neither in any; else mixed."
    )
    profiles = {
        "smoke": Profile(
            seeds=2,
            minutes=0.3,
            sizes={"units": [16], "forwards": {ADAM: 1e4, ES: 2e4}}
            | {"pretraining": 1e4, "fine-tuning": {ADAM: 3e3, ES: 1e4}, "steps": 1},
        ),
        "docs": Profile(
            seeds=10,
            minutes=7,
            trials=8,
            sizes={"units": [8, 32, 128, 512], "forwards": {ADAM: 2e5, ES: 6e6}}
            | {"pretraining": 2e5, "fine-tuning": {ADAM: 5e4, ES: 3e6}, "steps": 5},
        ),
        "full": Profile(
            seeds=20,
            minutes=120,
            trials=30,
            sizes={"units": [8, 32, 128, 512], "forwards": {ADAM: 5e5, ES: 2e7}}
            | {"pretraining": 2e5, "fine-tuning": {ADAM: 2e5, ES: 1e7}, "steps": 5},
        ),
    }
    metrics = ("test/accuracy",)
    curve = "val/accuracy"
    base = ("dataset=digits", "dataset.batch_size=64", "dataset.split_seed=${seed}", *MARKS)

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        return {
            f"{name}, {case(units)}": Arm(
                (*WAYS[name], f"model.hidden=[{units}]", f"budget.forwards={forwards:g}"), tuned=True
            )
            for units in profile.sizes["units"]
            for name, forwards in profile.sizes["forwards"].items()
        }

    def cells(self, profile: Profile) -> Mapping[str, Cell]:
        sizes = profile.sizes
        given = {"pretraining": sizes["pretraining"], "budgets": sizes["fine-tuning"], "steps": sizes["steps"]}
        return {f"seed {seed}": {"seed": seed, **given} for seed in profile.fresh}

    def compute(self, **cell: Any) -> Cell:
        """Of one network: validation accuracies over forwards by strategy and step size, on digits that have moved."""
        with tempfile.TemporaryDirectory() as folder:
            return dict(fine_tuned(folder=Path(folder), **cell))

    def judge(self, results: Results) -> Judgement:
        found = compared(results)
        sentences = [summary(found), *(said(each) for each in found if each.target == max(TARGETS))]
        numbers = {f"ratio/{each.case}/{each.target:g}": each.times.value for each in found}
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        return Judgement(verdict(found), sentences, [table(found)], finite)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import curves, panels

        cases = cases_of(results)
        figure, axes = panels(len(cases))
        for name, panel in zip(cases, axes, strict=True):
            curves(panel, runs_of(results, name), f"{name}: validation accuracy")
            for target in TARGETS:
                panel.axhline(target, color="grey", linewidth=0.5)
        return figure


# -- fine-tuning ------------------------------------------------------------------------------------------------------


def fine_tuned(
    seed: int, pretraining: float, budgets: Mapping[str, float], steps: int, folder: Path
) -> Iterator[tuple[str, Any]]:
    """Curves by strategy, one for each step size: (forwards, accuracy) at the marks.

    Args:
        seed: of network, split and strategies.
        pretraining: forwards that Adam has on digits before.
        budgets: forwards by strategy.
        steps: how many step sizes are tried.
        folder: an empty one.
    """
    shared = (f"seed={seed}", f"dataset.split_seed={seed}", "dataset.batch_size=64", f"model.hidden=[{UNITS}]", *QUIET)
    run("strategy=adam", "dataset=digits", f"budget.forwards={pretraining:g}", *shared, directory=folder / "first")
    inputs, target = moved()
    np.savez(folder / "moved.npz", inputs=inputs, target=target)
    data = ("dataset=arrays", f"dataset.path={folder / 'moved.npz'}", "dataset.standardise=false")
    for name, forwards in budgets.items():
        limits = (f"budget.forwards={forwards:g}", f"weights={folder / 'first'}", *MARKS)
        found = []
        for step in STEP_SIZES[name][:steps]:
            place = folder / f"{name}-{step:g}"
            result = run(*WAYS[name], f"strategy.lr={step:g}", *data, *limits, *shared, directory=place)
            found.append([] if result is None else accuracies(result.curve))
        yield name, found


def accuracies(curve: Sequence[tuple[float, Mapping[str, float]]]) -> list[list[float]]:
    """(forwards, validation accuracy) at the marks."""
    return [[float(cost), float(values["val/accuracy"])] for cost, values in curve if "val/accuracy" in values]


def moved() -> tuple[np.ndarray, np.ndarray]:
    """Images of digits a pixel further down and right, round the edge, as dataset=digits scales them; and classes."""
    from sklearn.datasets import load_digits

    pixels, targets = load_digits(return_X_y=True)
    images = (np.asarray(pixels) / 8 - 1).reshape(-1, 1, 8, 8)
    return np.roll(images, (1, 1), (2, 3)).astype("float32"), np.asarray(targets)


# -- values -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """The costs of both sides to a target.

    Args:
        case: what is trained.
        target: a validation accuracy.
        es, adam: when their runs reach it.
        times: the ratio of their expected costs.
        p: that they cost the same (log-rank), corrected for all cases.
    """

    case: str
    target: float
    es: Reached
    adam: Reached
    times: Interval
    p: float

    @property
    def few(self) -> bool | None:
        """Whether the ratio is a few times; None where that cannot be told."""
        return within(self.es, self.adam, FEW)


def case(units: int) -> str:
    """What a case is called."""
    return f"d = {75 * units + 10:,}"


def cases_of(results: Results) -> list[str]:
    """All of them."""
    cases = [case(units) for units in Resources.profiles[results.profile].sizes["units"]]
    return [*cases, *([FINE_TUNED] if results.cells else [])]


def runs_of(results: Results, name: str) -> dict[str, Sequence[Outcome]]:
    """The runs of a case by strategy; of fine-tuning, those with the best step size."""
    if name != FINE_TUNED:
        return {way: results.arms.get(f"{way}, {name}", ()) for way in (ADAM, ES)}
    return {way: with_best_step(results, way) for way in (ADAM, ES)}


def with_best_step(results: Results, way: str) -> list[Outcome]:
    """The runs that fine-tune, with the step size of the least cost to the highest target, or the next one below."""
    tried = [
        [Outcome(seed, {}, curve) for seed, curve in enumerate(curves)]
        for curves in zip(*(cell[way] for cell in results.cells.values()), strict=True)
    ]
    costs = [[reach(runs, target, higher=True).expected.value for target in reversed(TARGETS)] for runs in tried]
    return tried[costs.index(min(costs))]


def compared(results: Results) -> list[Compared]:
    """Each case and target."""
    reached = [
        (name, target, {way: reach(runs, target, higher=True) for way, runs in runs_of(results, name).items()})
        for name in cases_of(results)
        for target in TARGETS
    ]
    ps = holm([log_rank(of[ES], of[ADAM]) for *_, of in reached])
    return [
        Compared(name, target, of[ES], of[ADAM], ratio(of[ES], of[ADAM]), p)
        for (name, target, of), p in zip(reached, ps, strict=True)
    ]


def verdict(found: Sequence[Compared]) -> Verdict:
    """By the rule."""
    told = [each.few for each in found]
    if 2 * told.count(True) > len(found):
        return "supported"
    if 2 * told.count(False) > len(found):
        return "refuted"
    return "mixed" if True in told or False in told else "not distinguishable"


# -- what is said -----------------------------------------------------------------------------------------------------


def summary(found: Sequence[Compared]) -> str:
    """How often it is a few times, and the range of the ratios."""
    told = [each.few for each in found]
    ratios = [each.times.value for each in found if math.isfinite(each.times.value)]
    between = f"; ratios are from {number(min(ratios))} to {number(max(ratios))}" if ratios else ""
    return (
        f"In {told.count(True)} of {len(found)} cases the evolution strategy takes at most {FEW:g} times Adam's "
        f"forwards, in {told.count(False)} more, and {told.count(None)} cannot be told{between}."
    )


def said(each: Compared) -> str:
    """The costs of a case."""
    start = f"To {each.target:.0%} ({each.case}) the evolution strategy takes"
    if not any(each.adam.reached):
        return f"To {each.target:.0%} ({each.case}) Adam never gets."
    if not any(each.es.reached):
        return f"{start} more than its budget, {number(min(each.es.costs, default=math.nan))} forwards."
    costs = f"{number(each.es.expected.value)} forwards against {number(each.adam.expected.value)}"
    return f"{start} {interval(each.times)} times Adam's cost: {costs} (log-rank p = {each.p:.2g})."


def table(found: Sequence[Compared]) -> Table:
    """All cases."""
    head = ["case", "target", "Adam, forwards", "runs", "ES, forwards", "runs", "ratio", "log-rank p", "a few times"]
    rows = [
        [each.case, f"{each.target:.0%}", interval(each.adam.expected), hits(each.adam), interval(each.es.expected),
         hits(each.es), interval(each.times), f"{each.p:.2g}",
         {True: "yes", False: "no", None: "cannot be told"}[each.few]]
        for each in found
    ]  # fmt: skip
    return Table(head, rows, "Expected forwards to a validation accuracy, and how many runs reach it")


def hits(each: Reached) -> str:
    """How many runs reach it."""
    return f"{sum(each.reached)} of {len(each.reached)}"
