"""What the jobs of a study came to, from their directories."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hybridopt
from hybridopt.core.study import Outcome, Study, Tuned
from hybridopt.execution.directory import State, state
from hybridopt.execution.hardware import hardware
from hybridopt.execution.result import Result
from hybridopt.sweep.plan import Job
from hybridopt.sweep.trials import Tuning
from hybridopt.tracking.provenance import source_version

PACKAGES = ("hybridopt", "torch", "numpy")  # whose versions are told
COSTS = ("cost/forwards", "cost/evaluations", "cost/seconds")


def outcomes(study: Study, jobs: Sequence[Job]) -> tuple[list[Outcome], list[str]]:
    """Outcomes of the jobs that have finished, and the labels of those that have not.

    Raises:
        ResumeError: what a job has left is damaged.
    """
    found, missing = [], []
    for job in jobs:
        if job.refused or state(job.directory) != State.FINISHED:
            missing.append(f"{job.label}: {job.refused}" if job.refused else job.label)
            continue
        found.append(outcome(study, job.config["seed"], Result.load(job.directory)))
    return found, missing


def outcome(study: Study, seed: int, result: Result) -> Outcome:
    """What a study keeps of a run; of a metric that the run does not have, NaN."""
    kept = {name: float(result.summary.get(name, math.nan)) for name in (*study.metrics, *COSTS)}
    curve = [(float(forwards), values[study.curve]) for forwards, values in result.curve if study.curve in values]
    return Outcome(seed, kept, curve, bool(result.diverged))


def tuned(tuning: Tuning) -> Tuned:
    """What a tuning came to."""
    return Tuned(tuning.best(), len(tuning.study.trials), tuning.forwards)


TOOK = ("minutes", "cpu_minutes")  # by the clock; of processors, which does not count other programs' work


def clocks() -> dict[str, float]:
    """What this process, and those it has waited for, have taken until now, in minutes, by the names of :data:`TOOK`.

    Processes of other machines are not seen.
    """
    spent = os.times()
    processors = spent.user + spent.system + spent.children_user + spent.children_system
    return dict(zip(TOOK, (time.perf_counter() / 60, processors / 60), strict=True))


def provenance(took: Mapping[str, float]) -> dict[str, Any]:
    """When, where and by what; plain values.

    Args:
        took: minutes, by the names of :data:`TOOK`.
    """
    packages = {name: version(name) for name in PACKAGES}
    when = {"date": time.strftime("%Y-%m-%d"), **{name: round(took[name], 1) for name in TOOK}, "machine": hardware()}
    source = source_version(Path(hybridopt.__file__).parent)
    when |= {} if source is None else {"source": source}
    return {**when, "python": platform.python_version(), **packages}
