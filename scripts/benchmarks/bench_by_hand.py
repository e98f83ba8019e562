"""What a whole training run takes, as a ratio to a loop that one writes by hand for this one experiment.

    python scripts/benchmarks/bench_by_hand.py
    python scripts/benchmarks/bench_by_hand.py mezo spsa --repeats 9

The program is `hybridopt.run` on digits with default settings and tracking to MLflow (SQLite), of which the time inside
of `Trainer.fit` counts: steps, batches, validation, checkpoints and metrics. The loop by hand (`loops.py`, and for
nevergrad `loops_nevergrad.py`) does the same arithmetic on the same budget, with nothing kept and nothing reported; it
evaluates candidates one after the other, unless it says "batched". Both take turns in one process, on one thread; CPU
seconds are those of all threads of the process. Ratios are medians of the ratios within a round.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import benchlib
import loops
import loops_nevergrad
import torch
from benchlib import Rows, median_ratio
from pytorch_lightning import Trainer

import hybridopt
from hybridopt.composition import building

FORWARDS = 1e7  # the default budget
QUICK = 6e5


@dataclass(frozen=True)
class Method:
    """A strategy and its loop.

    Args:
        loop: trains by hand.
        overrides: of the job.
    """

    loop: Callable[[loops.Run], None]
    overrides: tuple[str, ...]


METHODS = {
    "adam": Method(loops.adam, ("strategy=adam",)),
    "lottery_ticket": Method(loops.lottery_ticket, ()),  # the default job
    "iterative_pruning": Method(loops.iterative_pruning, ("strategy=iterative_magnitude_pruning",)),
    "mezo": Method(loops.mezo, ("strategy=mezo",)),
    "spsa": Method(loops.spsa, ("strategy=spsa",)),
    "simulated_annealing": Method(loops.simulated_annealing, ("strategy=simulated_annealing",)),
    "genetic_algorithm": Method(loops.genetic_algorithm, ("strategy=genetic_algorithm",)),
    "openai_es": Method(loops.openai_es, ("strategy=openai_es",)),
    "openai_es_batched": Method(loops.openai_es_batched, ("strategy=openai_es",)),
    "nevergrad": Method(loops_nevergrad.diagonal_cma, ("strategy=nevergrad",)),
    "one_plus_one": Method(
        loops_nevergrad.one_plus_one,
        ("strategy=nevergrad", "strategy.optimizer=OnePlusOne", "strategy.popsize=1", "strategy.moves_per_step=50"),
    ),
}


@dataclass
class Time:
    """CPU and wall seconds that something has taken."""

    cpu: float = 0.0
    wall: float = 0.0

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Measure what is done inside."""
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu, self.wall = time.process_time() - cpu, time.perf_counter() - wall


def by_hand(method: Method, data: loops.Data, forwards: float) -> Time:
    """The loop, from the first batch to the last validation."""
    torch.manual_seed(0)
    taken = Time()
    with taken.taken():
        method.loop(loops.Run(data, forwards))
    return taken


def by_program(overrides: Sequence[str], forwards: float) -> Time:
    """A run of the program, of which ``Trainer.fit`` is measured."""
    taken, fit = Time(), Trainer.fit

    def measured(*arguments: Any, **settings: Any) -> None:
        with taken.taken():
            fit(*arguments, **settings)

    settings = (f"budget.forwards={forwards}", "trainer.enable_progress_bar=false", "tracking.log_model=false")
    with tempfile.TemporaryDirectory() as folder, patch.object(Trainer, "fit", measured), silence():
        store = f"tracking.uri=sqlite:///{folder}/mlflow.db"
        hybridopt.run(*overrides, *settings, store, directory=f"{folder}/run")
    return taken


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """What Lightning and MLflow say is not printed."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def measure(name: str, data: loops.Data, forwards: float, repeats: int) -> dict[str, Any]:
    """A row of the table."""
    cases = {
        "hand": lambda: by_hand(METHODS[name], data, forwards),
        "program": lambda: by_program(METHODS[name].overrides, forwards),
    }
    times: dict[str, list[Time]] = {key: [] for key in cases}
    for case in cases.values():
        case()  # what is made once is made before
    for turn in range(repeats):
        for key in list(cases)[:: -1 if turn % 2 else 1]:
            times[key].append(cases[key]())
    hand, program = times["hand"], times["program"]
    return {
        "method": name,
        "by hand, CPU s": statistics.median(one.cpu for one in hand),
        "program, CPU s": statistics.median(one.cpu for one in program),
        "CPU ratio": median_ratio([one.cpu for one in program], [one.cpu for one in hand]),
        "wall ratio": median_ratio([one.wall for one in program], [one.wall for one in hand]),
    }


def parse(parser: argparse.ArgumentParser, kind: str, known: Collection[str]) -> argparse.Namespace:
    """The arguments, of which those under ``<kind>s`` must be known; from here on libraries are quiet."""
    arguments = benchlib.parse(parser)
    unknown = [name for name in getattr(arguments, f"{kind}s") if name not in known]
    if unknown:
        parser.error(f"there is no {kind} {unknown[0]}: choose from {', '.join(known)}")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    return arguments


def main() -> None:
    parser = benchlib.parser(__doc__)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"which ones, of {', '.join(METHODS)}; or all")
    parser.add_argument("--repeats", type=int, dest="repetitions", default=7, help="the same as --repetitions")
    parser.add_argument("--forwards", type=float, default=FORWARDS, help="the budget of a run (default: 1e7)")
    arguments = parse(parser, "method", METHODS)
    forwards = QUICK if arguments.quick else arguments.forwards
    data = building.build("dataset", {"name": "digits", "batch_size": loops.BATCH}).sets
    rows: Rows = []
    with benchlib.threads(1):
        report: dict[str, Any] = {"machine": benchlib.machine("cpu"), "forwards": forwards}
        benchlib.say("machine", [report["machine"]])
        for name in arguments.methods or METHODS:
            rows.append(measure(name, data, forwards, arguments.repetitions))
            print(f"{name}: done", file=sys.stderr)
    report["by hand"] = rows
    benchlib.say(f"whole runs of {forwards:g} forwards, against hand-written loops", rows)
    benchlib.save(arguments.json, report)


if __name__ == "__main__":
    main()
