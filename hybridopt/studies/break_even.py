"""C19: at how many workers an evolution strategy is as fast as Adam, by a model of a cluster that is measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridopt.core.study import Arm, Cell, Judgement, Outcome, Profile, Results, Study, Table, Verdict
from hybridopt.report.interval import Interval
from hybridopt.report.page import interval
from hybridopt.report.statistics import RESAMPLES
from hybridopt.report.verdict import number
from hybridopt.study.cluster import Counts, Machine, break_even, fitted
from hybridopt.study.processes import group_times, step_time
from hybridopt.study.reaching import reach

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ADAM, ES = "adam", "openai_es"
IDEAL, MEASURED = "ideal", "measured"
FITTED = 2  # processes, up to which the model is fitted
NETWORK = ("dataset=digits", "model.hidden=[32]")
SAMPLES = 64  # of a batch of the evolution strategy
TARGET = 0.9  # of validation accuracy
HUNDREDS = (100, 1000)  # workers
WORKERS = np.unique(np.logspace(0, 5, 501).astype(int))
LONGER = [2.0**power for power in range(15)]  # times as long as evaluations of this network
GRADIENT = 3  # forwards of a sample
BUDGETS = {f"{ADAM} 16": 5e4, f"{ADAM} 64": 1e5, f"{ADAM} 256": 2e5, f"{ADAM} 1024": 5e5} | {
    f"{ES} 48": 2e6,
    f"{ES} 192": 3e6,
    f"{ES} 768": 5e6,
    f"{ES} 3072": 1e7,
}  # side and size -> forwards


class BreakEven(Study):
    """How many workers an evolution strategy needs to be as fast as Adam, counted in forwards and with its overheads.

    Its population can be evaluated on as many workers as it has members, while only losses travel. Larger populations
    take fewer generations, though not as many fewer as they are larger. How many generations and steps it takes to an
    accuracy of 90 % on digits is measured, by runs with settings that are tuned by as many trials: for populations of
    48 to 3072, and for Adam with batches of 16 to 1024. For each number of workers the best of each counts. Intervals
    are over these runs; times are medians of rounds.

    What a generation takes is measured as well, with one, two and four processes that talk over gloo. A model is fitted
    to the processor's time on one and two, and its prediction for four is told: a part that each worker does for itself
    (noise, update), which grows with the population, evaluations, which are shared out, and exchanges, which take log2
    of the workers as long as one between two. This network is evaluated in microseconds; how the answer changes where
    evaluations take longer, as episodes and larger networks do, is told besides, as is the race with data-parallel
    Adam, whose batches are shared out up to one sample for each worker, and whose gradients travel.
    """

    number = 19
    claim = "With hundreds of GPUs, evolution strategies break even with gradient descent."
    said_by = "The thread."
    rule = (
        "The break-even is the least number of workers with which the evolution strategy reaches the target as soon as "
        "Adam on one. It counts twice: by forwards alone, and with what else a generation takes, as measured. "
        f"Supported if its 95 % interval is within {HUNDREDS[0]} to {HUNDREDS[1]} both times; refuted if it is outside "
        "both times, as it is where there is no break-even; not distinguishable if neither can be told, as where one "
        "side never reaches the target; else mixed."
    )
    profiles = {
        "smoke": Profile(
            seeds=2,
            minutes=0.3,
            sizes={"budgets": {f"{ADAM} 64": 2e4, f"{ES} 8": 2e4}, "processes": [1, 2], "rounds": 1, "count": 3},
        ),
        "docs": Profile(
            seeds=8, minutes=4, trials=6, sizes={"budgets": BUDGETS, "processes": [1, 2, 4], "rounds": 3, "count": 20}
        ),
        "full": Profile(
            seeds=20,
            minutes=60,
            trials=30,
            sizes={"budgets": {name: 3 * forwards for name, forwards in BUDGETS.items()}}
            | {"processes": [1, 2, 4], "rounds": 10, "count": 100},
        ),
    }
    metrics = ("test/accuracy",)
    curve = "val/accuracy"
    base = (*NETWORK, "dataset.split_seed=${seed}", "budget.spacing=log", "budget.marks=60")

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        return {name: Arm(overrides(name, forwards), tuned=True) for name, forwards in profile.sizes["budgets"].items()}

    def cells(self, profile: Profile) -> Mapping[str, Cell]:
        sizes = profile.sizes
        given = {
            "populations": sizes_of(sizes["budgets"], ES),
            "batches": sizes_of(sizes["budgets"], ADAM),
            "processes": sizes["processes"],
            "count": sizes["count"],
        }
        return {f"round {place}": {"place": place, **given} for place in range(sizes["rounds"])}

    def compute(self, **cell: Any) -> Cell:
        """The seconds of generations by processes, of steps by samples, and of exchanges."""
        network = (*NETWORK, f"dataset.batch_size={SAMPLES}")
        strategies = [{"name": ES, "popsize": n, "noise": "table"} for n in cell["populations"]]
        groups = group_times(network, strategies, cell["processes"], cell["count"])
        steps = {str(b): step_time((*NETWORK, f"dataset.batch_size={b}"), cell["count"]) for b in cell["batches"]}
        pairs = [(group.processes, zip(cell["populations"], group.generations, strict=True)) for group in groups]
        generations = [[n, processes, busy] for processes, of in pairs for n, busy in of]
        talk = next(group for group in groups if group.processes == FITTED)
        return {"generations": generations, "steps": steps, "exchange": talk.exchange, "gradient": talk.gradient}

    def judge(self, results: Results) -> Judgement:
        machines, counts = machines_of(results), counts_of(results)
        even = {name: break_even(machine, counts, WORKERS) for name, machine in machines.items()}
        found = [
            *(said(name, even[name], machine, counts) for name, machine in machines.items()),
            *([said_of_longer(machines[MEASURED], counts)] if math.isinf(even[MEASURED].value) else []),
            *(said_of_parallel(name, machine, counts) for name, machine in machines.items()),
            said_of_check(results),
        ]
        numbers = {f"workers/{name}": each.value for name, each in even.items() if math.isfinite(each.value)}
        never = [name for name, each in even.items() if math.isinf(each.value)]
        numbers |= {f"times/{name}": behind(machines[name], counts) for name in never}
        return Judgement(verdict(list(even.values())), found, tables(machines[MEASURED], counts), numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import legend, panels

        figure, axes = panels(2)
        counts = counts_of(results)
        for (name, machine), panel in zip(machines_of(results).items(), axes, strict=True):
            panel.plot(WORKERS, counts.search(machine, WORKERS)[0], label="evolution strategy")
            panel.plot(WORKERS, counts.descent(machine, WORKERS)[0], label="Adam, data-parallel")
            panel.axhline(counts.descent(machine, [1])[0, 0], color="k", linestyle="--", label="Adam, one worker")
            label = f"{name}: {'forwards in a row' if name == IDEAL else 'seconds'} to the target"
            panel.set(xscale="log", yscale="log", xlabel="workers", ylabel=label)
        legend(axes[0])
        return figure


# -- what it takes to the target --------------------------------------------------------------------------------------


def size_of(name: str) -> int:
    """The population or the batch of an arm."""
    return int(name.split()[1])


def sizes_of(names: Iterable[str], way: str) -> list[int]:
    """Of the arms of one side."""
    return [size_of(name) for name in names if name.startswith(way)]


def overrides(name: str, forwards: float) -> tuple[str, ...]:
    """Of an arm."""
    size, budget = size_of(name), f"budget.forwards={forwards:g}"
    if name.startswith(ADAM):
        return "strategy=adam", f"dataset.batch_size={size}", budget
    return "strategy=openai_es", f"strategy.popsize={size}", f"dataset.batch_size={SAMPLES}", budget


def counts_of(results: Results) -> Counts:
    """From the curves of the runs."""
    populations, batches = (sizes_of(results.arms, way) for way in (ES, ADAM))
    generations = [drawn(results.arms[f"{ES} {size}"], SAMPLES * size) for size in populations]
    steps = [drawn(results.arms[f"{ADAM} {size}"], GRADIENT * size) for size in batches]
    return Counts(populations, np.stack(generations, axis=1), batches, np.stack(steps, axis=1))


def drawn(runs: Sequence[Outcome], forwards: float) -> np.ndarray:
    """Expected steps to the target, of so many forwards each: of all runs, then of seeds that are resampled."""
    reached = reach(runs, TARGET, higher=True)
    resampled = np.random.default_rng(0).integers(len(runs), size=(RESAMPLES, len(runs)))  # the same for each arm
    chosen = np.concatenate([np.arange(len(runs))[None], resampled])
    with np.errstate(divide="ignore"):
        expected = np.array(reached.costs)[chosen].sum(1) / np.array(reached.reached, dtype=float)[chosen].sum(1)
    return expected / forwards


# -- the cluster ------------------------------------------------------------------------------------------------------


def machines_of(results: Results) -> dict[str, Machine]:
    """By forwards alone, and as measured."""
    return {IDEAL: Machine(0.0, 0.0, float(SAMPLES), 0.0, float(GRADIENT)), MEASURED: measured(results)}


def measured(results: Results) -> Machine:
    """The machine by medians over rounds, of generations on one and two processes."""
    cells = list(results.cells.values())
    steps = {int(size): median(cell["steps"][size] for cell in cells) for size in cells[0]["steps"]}
    few = {key: busy for key, busy in generations_of(results).items() if key[1] <= FITTED}
    exchange, gradient = (median(cell[name] for cell in cells) for name in ("exchange", "gradient"))
    return fitted(few, steps, exchange, gradient)


def generations_of(results: Results) -> dict[tuple[int, int], float]:
    """The processor's time of the busiest process: (population, processes) -> seconds, medians over rounds."""
    cells = list(results.cells.values())
    keys = [(int(n), int(w)) for n, w, _ in cells[0]["generations"]]
    return {key: median(cell["generations"][place][2] for cell in cells) for place, key in enumerate(keys)}


def hundreds(even: Interval) -> bool | None:
    """Whether a break-even is in the hundreds; None where that cannot be told."""
    if even.low >= HUNDREDS[0] and even.high <= HUNDREDS[1]:
        return True
    return False if even.high < HUNDREDS[0] or even.low > HUNDREDS[1] else None


def verdict(evens: Sequence[Interval]) -> Verdict:
    """By the rule."""
    told = [hundreds(even) for even in evens]
    if all(each is True for each in told):
        return "supported"
    if all(each is False for each in told):
        return "refuted"
    return "not distinguishable" if all(each is None for each in told) else "mixed"


# -- what is said -----------------------------------------------------------------------------------------------------


def said(name: str, even: Interval, machine: Machine, counts: Counts) -> str:
    """Where the break-even is, or how far off."""
    start = "By forwards alone" if name == IDEAL else "With what else a generation takes, as measured,"
    if math.isnan(even.value):
        return f"{start} there is no break-even to tell: one side never reaches the target."
    if not math.isinf(even.value):
        return f"{start} the break-even is at {interval(even)} workers."
    least = f" (95 % CI from {even.low:,.0f} workers)" if math.isfinite(even.low) else ""
    times = number(behind(machine, counts))
    return f"{start} there is no break-even{least}: at best the strategy takes {times} times Adam's time."


def behind(machine: Machine, counts: Counts) -> float:
    """How many times the time of Adam on one worker the strategy takes, at best."""
    return float(counts.search(machine, WORKERS)[0].min() / counts.descent(machine, [1])[0, 0])


def said_of_longer(machine: Machine, counts: Counts) -> str:
    """From which length of evaluations on there is a break-even."""
    for times, even in longer(machine, counts):
        if math.isfinite(even):
            said = f"Where evaluations and gradients take {number(times)} times as long, and exchanges do not,"
            return f"{said} the break-even is at {number(even)} workers."
    return f"Nor is there one where evaluations take up to {number(LONGER[-1])} times as long."


def longer(machine: Machine, counts: Counts) -> list[tuple[float, float]]:
    """(times as long, workers at the break-even) where evaluations and gradients take longer."""
    found = []
    for times in LONGER:
        other = replace(machine, evaluation=times * machine.evaluation, sample=times * machine.sample)
        found.append((times, break_even(other, counts, WORKERS).value))
    return found


def said_of_parallel(name: str, machine: Machine, counts: Counts) -> str:
    """Whether the strategy is ever faster than Adam on as many workers."""
    with np.errstate(invalid="ignore"):
        ratios = counts.search(machine, WORKERS)[0] / counts.descent(machine, WORKERS)[0]
    start = "By forwards alone" if name == IDEAL else "As measured"
    if not np.isfinite(ratios).any():
        return f"{start}, the race with data-parallel Adam cannot be told: a side never reaches the target."
    best = int(np.nanargmin(ratios))
    told = "is faster than" if ratios[best] < 1 else "is never faster than"
    return (
        f"{start}, the strategy {told} Adam on as many workers; it is nearest with {WORKERS[best]:,}, where it takes "
        f"{number(float(ratios[best]))} times the time."
    )


def said_of_check(results: Results) -> str:
    """How far the model's prediction is from what was measured with more processes."""
    machine = measured(results)
    if not (held := {key: busy for key, busy in generations_of(results).items() if key[1] > FITTED}):
        return "The model is not checked: no group had more processes than those that it is fitted to."
    errors = [machine.generations([n], [w])[0, 0] / busy - 1 for (n, w), busy in held.items()]
    return (
        f"Fitted to {FITTED} processes at most, the model is off by {min(errors):+.0%} to {max(errors):+.0%} in the "
        f"processor's time of a generation with {max(w for _, w in held)}."
    )


def tables(machine: Machine, counts: Counts) -> list[Table]:
    """What was counted and measured, and break-evens where evaluations take longer."""
    sides = {"evolution strategy": (counts.populations, counts.generations), "Adam": (counts.batches, counts.steps)}
    rows = [
        [f"{side}, {size}", number(float(count))]
        for side, (sizes, found) in sides.items()
        for size, count in zip(sizes, found[0], strict=True)
    ]
    times = [[name, f"{1e6 * value:.3g}"] for name, value in vars(machine).items()]
    evens = [[number(times), "never" if math.isinf(even) else number(even)] for times, even in longer(machine, counts)]
    return [
        Table(["population or batch", "generations or steps"], rows, f"Expected number to {TARGET:.0%}"),
        Table(["part", "microseconds"], times, "The machine, as fitted"),
        Table(["evaluations take longer, times", "workers"], evens, "Break-even with Adam on one worker"),
    ]
