"""What a sweep would be: its jobs, what they cost, how long they would take, and which cannot run."""

from __future__ import annotations

import copy
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hybridopt.composition.targets import granted
from hybridopt.errors import HybridoptError, counted, verb
from hybridopt.execution.contents import Seen
from hybridopt.execution.directory import State
from hybridopt.sweep.board import JobOutcome, failure, why
from hybridopt.sweep.controls import is_control
from hybridopt.sweep.places import locate
from hybridopt.sweep.plan import Job
from hybridopt.sweep.session import SweepRun

if TYPE_CHECKING:
    from hybridopt.execution.result import Result

SECONDS = 0.5  # of training, from which the speed is measured
ROWS = 200


@dataclass
class Estimate:
    """How long a job takes, in seconds, around its training included, or why it cannot run."""

    seconds: float | None = None
    refused: str | None = None


def preview(jobs: Sequence[Job], run: SweepRun, times: Sequence[int] | None = None) -> None:
    """Print the plan of a sweep; nothing of it is run, and nothing is written where it would be.

    Jobs that differ in their seed alone are measured once, by half a second of training.

    Args:
        jobs: of the sweep.
        run: tells where they would run.
        times: how often each job would run, as the trials of a tuning do; once if None.
    """
    from rich.console import Console
    from tqdm import tqdm

    taken: dict[Path, str] = {}
    seen: Seen = {}
    for job in jobs:
        locate(job, run.directory, run.rerun, taken, seen)
    kinds: dict[str, Estimate] = {}
    for job in tqdm(jobs, desc="measuring", unit=" jobs", leave=False, disable=None):
        if _kind(job) not in kinds:
            kinds[_kind(job)] = Estimate(refused=job.refused) if job.refused else measure(job.config)
    console = Console(width=max(Console().width, 100), highlight=False)
    estimates = [kinds[_kind(job)] for job in jobs]
    console.print(_table(jobs, estimates, times or [1] * len(jobs)))
    refused = [JobOutcome("cannot run", estimate.refused or "") for estimate in estimates]
    for line in [*why(jobs, refused), *_totals(jobs, estimates, times or [1] * len(jobs), _workers(run.master))]:
        console.print(line, soft_wrap=True)


def measure(config: dict[str, Any]) -> Estimate:
    """Train for a moment in a directory that is thrown away.

    Args:
        config: a job's, plain values.
    """
    from hybridopt.execution import experiment

    short = copy.deepcopy(config)
    budget = short["budget"]
    budget["seconds"] = min(SECONDS, budget["seconds"] or SECONDS)
    short["tracking"] = {"name": "none"}
    short["trainer"]["enable_progress_bar"] = False
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        try:
            spent = cast(
                "Result", experiment.run(short, Path(folder) / "preview", instantiate_targets=granted())
            ).summary
        except HybridoptError as error:
            return Estimate(refused=str(error))
        except Exception as error:
            return Estimate(refused=f"it fails: {failure(error)}")
        around = time.perf_counter() - started - spent["cost/seconds"]
    return Estimate(around + _training_time(config["budget"], spent))


def _training_time(budget: dict[str, Any], spent: dict[str, float]) -> float:
    """Seconds until the first limit of the budget is reached, at the speed measured."""
    speed = {unit: spent[f"cost/{unit}"] / spent["cost/seconds"] for unit in ("forwards", "evaluations")}
    times = [budget[unit] / speed[unit] for unit in speed if budget[unit] is not None and speed[unit]]
    return min([*times, *([budget["seconds"]] if budget["seconds"] is not None else [])])


def _kind(job: Job) -> str:
    """What jobs that differ in their seed alone have in common."""
    if job.refused:
        return job.fingerprint
    return json.dumps({key: value for key, value in job.config.items() if key != "seed"}, sort_keys=True)


def _table(jobs: Sequence[Job], estimates: Sequence[Estimate], times: Sequence[int]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("job")
    drawn.add_column("state", no_wrap=True)
    for column in ("times", "forwards", "about") if max(times, default=1) > 1 else ("forwards", "about"):
        drawn.add_column(column, justify="right", no_wrap=True)
    for job, estimate, number in list(zip(jobs, estimates, times, strict=True))[:ROWS]:
        forwards = "" if job.forwards is None else f"{job.forwards:,.0f}"
        told = [forwards, "" if estimate.seconds is None else duration(estimate.seconds)]
        repeated = [str(number)] if len(drawn.columns) > 4 else []
        drawn.add_row(job.label, "cannot run" if estimate.refused else job.found, *repeated, *told)
    return drawn


def _totals(jobs: Sequence[Job], estimates: Sequence[Estimate], times: Sequence[int], workers: int) -> list[str]:
    due = [
        (job, estimate, number)
        for job, estimate, number in zip(jobs, estimates, times, strict=True)
        if estimate.refused is None and job.found != State.FINISHED
    ]
    seconds = sum(number * (estimate.seconds or 0) for _, estimate, number in due)
    forwards = sum(number * (job.forwards or 0) for job, _, number in due)
    told = f"{sum(number for *_, number in due)} of {counted(sum(times), 'job')} would run"
    arms = sum(is_control(job) for job, *_ in due)
    told += f" ({arms} of them {verb(arms, 'a control arm', 'control arms')})" if arms else ""
    told += f": {forwards:,.0f} forwards, about {duration(seconds)}"
    if workers > 1:
        told += f" of work, {duration(seconds / workers)} in {workers} processes"
    hidden = len(jobs) - ROWS
    more = [f"{counted(hidden, 'more job')} {verb(hidden, 'is', 'are')} not shown."] if hidden > 0 else []
    return [*more, f"{told}; nothing was run."]


def _workers(master: Any) -> int:
    """How many jobs the launcher runs at a time, where it says so."""
    number = master.hydra.launcher.get("n_jobs") or 1
    if number < 0:  # joblib: all cores but some
        import os

        number = max(1, (os.cpu_count() or 1) + 1 + number)
    return int(number)


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 1:
        return "under 1 s"
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"
