"""The sweep's own run: opened before its jobs, closed whatever happens, and what jobs read of it."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from hybridopt.errors import StorageError, brief
from hybridopt.execution.directory import CONFIG_FILE
from hybridopt.execution.identity import run_name
from hybridopt.execution.note import NOTE
from hybridopt.sweep.board import FAILED, GOOD, METRICS, JobOutcome, summary
from hybridopt.sweep.plan import Job
from hybridopt.toolbox.credentials import masked
from hybridopt.tracking.checked import json_of, read_checked
from hybridopt.tracking.files import explaining, hold, write_atomically
from hybridopt.tracking.sweeps import NAME, NOTE_LENGTH, add_tags, adopt_sweep, share_view
from hybridopt.tracking.tracker import Tracker, holds_run, open_tracker

log = logging.getLogger(__name__)

SWEEP_FILE = "sweep.json"
JOBS_FILE = "jobs.csv"


class ParentRun:
    """The sweep's own run in MLflow, the parent of its jobs'; or its journal alone, where nothing is tracked.

    The same sweep again goes on in the same run. While a process holds it, another one is refused.

    Args:
        directory: the sweep's.
        name: the sweep's id.
        settings: the config group ``tracking``.
        command: what was typed.

    Raises:
        ResumeError: another process runs this sweep.
        StorageError: the directory cannot be written.
        TrackingError: the store cannot be used.
    """

    def __init__(self, directory: Path, name: str, settings: Mapping[str, Any], command: Sequence[str]):
        self.directory, self.name = directory, name
        lock = hold(directory)  # before anything is asked: of two sweeps at once, the second finds what the first made
        try:
            resume = adopt_sweep(directory, settings, name) or _has_begun(directory)
            tags = {"hybridopt.kind": "sweep", "hybridopt.sweep": name, "hybridopt.command": typed(command)}
            self.tracker: Tracker = open_tracker(
                settings, directory, run_name=f"sweep {name}", resume=resume, tags=tags, lock=lock
            )
        except BaseException:
            lock.release()
            raise
        self.page = ""
        self._tags: dict[str, dict[str, str]] = {}
        try:
            self.announce([])
        except StorageError:
            self.tracker.finish("FAILED")
            raise

    @property
    def uri(self) -> str | None:
        """Where the runs are tracked, or None."""
        identity = self.tracker.identity
        return None if identity is None else identity.tracking_uri

    def announce(self, jobs: Sequence[Job]) -> None:
        """Tell jobs, before they start, whose part they are: their processes read it from a file."""
        self._tags |= {_place(self.directory, job.directory): job.tags for job in jobs if job.tags}
        told = Announced(self.name, self.tracker.run_id, self.uri, self._tags)
        self.keep(SWEEP_FILE, json.dumps(asdict(told), indent=1) + "\n")

    def keep(self, name: str, text: str) -> Path:
        """Write a file of the sweep, whole or not at all.

        Raises:
            StorageError: it cannot be written.
        """
        with explaining(self.directory, "make room, and type the same command again"):
            write_atomically(self.directory / name, text)
        return self.directory / name

    def update_tags(self, jobs: Sequence[Job], finished: Mapping[str, tuple[str, Mapping[str, str]]]) -> None:
        """Say of jobs that had finished what is known of them by now: of which hybrid a run has become a control arm.

        A run that was a control arm alone may become a job of its own, but never the other way round. A name that
        somebody has given it stays.

        Args:
            jobs: those that do not run again.
            finished: run id and tags by fingerprint, as the store has them.
        """
        for job in jobs:
            run_id, there = finished.get(job.fingerprint, ("", {}))
            kept = {"hybridopt.role"} | ({NAME} if run_id and there.get(NAME) != run_name(job.config) else set())
            wanted = {tag: text for tag, text in job.tags.items() if tag not in kept}
            if there.get("hybridopt.role") == "control" != job.tags.get("hybridopt.role"):
                wanted["hybridopt.role"] = "job"
            new = {tag: text for tag, text in wanted.items() if there.get(tag) != text}
            if self.uri is not None and run_id and new:
                try:
                    add_tags(self.uri, run_id, new)
                except Exception as error:
                    log.warning("The run of %s does not get its tags (%s).", job.label, brief(error))

    def close(self, jobs: Sequence[Job], outcomes: Sequence[JobOutcome], status: str, note: str = "") -> int:
        """Keep the table of jobs, and end the sweep's run.

        Args:
            jobs: all of the sweep's.
            outcomes: what became of them.
            status: FINISHED, FAILED or KILLED.
            note: the run's description; empty to leave the one that it has.

        Returns:
            How many operations MLflow does not have.

        Raises:
            StorageError: the table cannot be kept, so that the sweep has FAILED.
        """
        try:
            self.tracker.log_artifact(self.keep(JOBS_FILE, _table(jobs, outcomes)))
        except StorageError:
            self.tracker.finish("FAILED")
            raise
        marks = {o.mark.tag for o in outcomes if o.mark is not None}
        failed = sum(outcome.word in FAILED for outcome in outcomes)
        self._share_view(jobs, [*(["failure"] if failed else []), *sorted(marks)])
        finished = sum(outcome.word in GOOD for outcome in outcomes)
        counts = {"": len(jobs), ".finished": finished, ".unfinished": len(jobs) - finished, ".failed": failed}
        self.tracker.set_tags({f"hybridopt.jobs{name}": str(number) for name, number in counts.items()})
        if note:
            self.tracker.set_tags({NOTE: note[:NOTE_LENGTH]})
        return self.tracker.finish(cast(Any, status))

    def _share_view(self, jobs: Sequence[Job], wrong: Sequence[str]) -> None:
        """A view for the UI; a store that is away does without."""
        identity = self.tracker.identity
        if identity is None:
            return
        found = [name for job in jobs for name in summary(job.directory)]
        metrics = [name for name in METRICS if name in found][:1]
        try:
            more = [tag for tag in ("arm", "control") if any(f"hybridopt.{tag}" in job.tags for job in jobs)]
            self.page = share_view(identity, self.name, [*metrics, "final/val/loss"], [*more, *wrong])
        except Exception as error:
            log.debug("The view of the sweep is not kept.", exc_info=error)


def typed(command: Sequence[str]) -> str:
    """What makes the sweep again, or go on, quoted for a shell."""
    return masked(shlex.join(["hybridopt", "-m", *command]))


def _has_begun(directory: Path) -> bool:
    """Whether a sweep has, in this directory; that of a single run is refused instead."""
    return (directory / SWEEP_FILE).exists() or (holds_run(directory) and not (directory / CONFIG_FILE).exists())


def _table(jobs: Sequence[Job], outcomes: Sequence[JobOutcome]) -> str:
    """A line for each job, separated by commas."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["job", "outcome", "why", "fingerprint", "directory", "overrides"])
    for job, o in zip(jobs, outcomes, strict=True):
        why = o.why if o.mark is None else o.mark.sentence
        table.writerow([job.label, o.word, why, job.fingerprint, job.directory, " ".join(job.overrides)])
    return text.getvalue()


def _place(sweep_directory: Path, job_directory: Path) -> str:
    """A job's directory, as seen from the sweep's."""
    return os.path.relpath(job_directory, sweep_directory)


@dataclass(frozen=True)
class Announced:
    """What a sweep tells its jobs, in :data:`SWEEP_FILE`: the tags are by the places of their directories."""

    name: str
    run_id: str | None
    uri: str | None
    tags: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Part:
    """What a job has to know of the sweep that it belongs to.

    Args:
        run_id: the sweep's MLflow run, or None.
        uri: the store that it is in, or None.
        tags: for the job's own run.
    """

    run_id: str | None = None
    uri: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def part_of(sweep_directory: Path, job_directory: Path) -> Part:
    """Which part a job has; none in particular where another sweeper started it."""
    path = sweep_directory / SWEEP_FILE
    if not path.exists():
        return Part()
    told = read_checked(path, json_of(Announced), "type the command of the sweep again")
    tags = {"hybridopt.sweep": told.name, **told.tags.get(_place(sweep_directory, job_directory), {})}
    return Part(told.run_id, told.uri, tags)
