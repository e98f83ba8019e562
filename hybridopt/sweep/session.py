"""A sweep that goes on: its jobs are launched, watched and accounted for, and its parent run is closed at the end."""

from __future__ import annotations

import copy
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hybridopt.errors import HybridoptError, StorageError, brief, counted, verb
from hybridopt.execution.contents import Seen, changed, contents_of, files
from hybridopt.execution.directory import State, state
from hybridopt.execution.identity import digests_of
from hybridopt.sweep import board
from hybridopt.sweep.failing import note, track_failures
from hybridopt.sweep.names import name_tags
from hybridopt.sweep.places import locate
from hybridopt.sweep.plan import Job, check_rerun, quoted
from hybridopt.sweep.watch import Watch
from hybridopt.toolbox.credentials import address
from hybridopt.toolbox.extras import lacking, listed, remedy
from hybridopt.toolbox.orphans import starting_workers
from hybridopt.tracking.delivery import deliver_leftovers, undelivered

log = logging.getLogger(__name__)


class SweepRun:
    """A sweep that goes on: jobs are handed to the launcher, and the sweep's own run is closed whatever happens.

    Args:
        master: the config of the sweep.
        context: Hydra's.
        task: what each job calls.
        name: the sweep's id; it is also the default name of its directory.
        command: what the user typed.
        elsewhere: whether a job counts as finished where a run in the store has computed the same, in whatever sweep.
    """

    def __init__(
        self,
        master: DictConfig,
        context: HydraContext,
        task: TaskFunction,
        name: str,
        command: Sequence[str],
        elsewhere: bool = True,
    ):
        self.master, self.context, self.task, self.name, self.command = master, context, task, name, list(command)
        self._looks_elsewhere = elsewhere
        context.callbacks.callbacks.append(WithoutConfigs())
        with read_write(master), open_dict(master):
            master.sweep.name = name
            self.directory = Path(str(master.hydra.sweep.dir)).absolute()
            master.hydra.sweep.dir = str(self.directory)
        self.rerun = check_rerun(master.sweep.rerun)
        self.jobs: list[Job] = []
        self.outcomes: dict[int, board.JobOutcome] = {}
        self.described = False  # whether the sweep's run has a description
        self.planned = 0  # jobs in all, over which the bar goes where they are handed over in rounds
        self._launched = 0
        self._taken: dict[Path, str] = {}  # directories, and the fingerprints of their jobs
        self._elsewhere: dict[str, list[tuple[str, Mapping[str, str]]]] = {}  # finished runs, by fingerprint

    @contextmanager
    def open(self) -> Iterator[None]:
        """Inside, jobs can be run; at the end comes the table, and the exit code tells whether all have finished.

        Raises:
            SystemExit: 1 where a job failed, 128 + the number of a signal that stopped the sweep.
        """
        from hybridopt.sweep.parent import ParentRun
        from hybridopt.tracking.sweeps import finished_runs

        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"The directory {self.directory} cannot be made ({brief(error)}): name another one by "
                "hydra.sweep.dir=<folder>."
            ) from error
        tracking = self._tracking = cast(dict[str, Any], OmegaConf.to_container(self.master.tracking, resolve=True))
        chosen = cast(list[str], OmegaConf.to_container(self.master.hydra.overrides.hydra))  # as typed, ${...} and all
        chosen = [each for each in chosen if not each.startswith("hydra.mode=")]
        self.parent = ParentRun(self.directory, self.name, tracking, [*self.command, *chosen])
        identity = self.parent.tracker.identity
        if identity is not None and self.rerun != "all" and self._looks_elsewhere:
            self._elsewhere = finished_runs(identity.tracking_uri, identity.experiment_id, identity.run_id)
        code, status = 1, "FAILED"
        try:
            with _terminable():
                self.parent.keep("multirun.yaml", OmegaConf.to_yaml(self.master))
                yield
            code = int(not all(o.word in board.GOOD for o in self._all_outcomes()))
            status = "FAILED" if code else "FINISHED"
        except (KeyboardInterrupt, SystemExit) as stopped:
            code = stopped.code if isinstance(stopped, SystemExit) and isinstance(stopped.code, int) else 130
            status = "KILLED"
            print("Stopped; to go on, type the same command again.", file=sys.stderr)
        finally:
            self._end(status)
        if code:
            sys.exit(code)

    def run(self, jobs: Sequence[Job], batch: int | None = None) -> list[board.JobOutcome]:
        """Run the jobs that have not finished, and tell what became of each of them."""
        seen: Seen = {}
        for job in jobs:
            locate(job, self.directory, self.rerun, self._taken, seen)
        there = {job.fingerprint: found for job in jobs if (found := self._finished_elsewhere(job))}
        self._tell_changes(jobs, there)
        todo = [job for job in jobs if self._is_due(job)]
        due = {id(job) for job in todo}
        start = len(self.jobs)
        self.jobs += jobs
        trouble = None
        for job in jobs:
            job.tags = {**name_tags(job), **job.tags}
        self.parent.announce(jobs)
        over = [job for job in jobs if id(job) not in due]
        deliver(over)
        self.parent.update_tags(over, there)
        for position in range(0, len(todo), batch or len(todo) or 1):
            trouble = self._launch(todo[position : position + (batch or len(todo))]) or trouble
        for index, job in enumerate(jobs, start):
            elsewhere = job.found == State.NEW and job.fingerprint in there
            self.outcomes[index] = board.outcome(job, id(job) in due, elsewhere, trouble)
        return [self.outcomes[start + index] for index in range(len(jobs))]

    def _is_due(self, job: Job) -> bool:
        if job.refused or (job.found == State.NEW and self._finished_elsewhere(job)):
            return False
        return state(job.directory) in (State.NEW, State.HALF_DONE)

    def _finished_elsewhere(self, job: Job) -> tuple[str, Mapping[str, str]] | None:
        """Run id and tags of the latest run in the store that has computed the same."""
        runs = self._elsewhere.get(job.fingerprint, ())
        return next((run for run in runs if not changed(contents_of(run[1]), job.contents)), None)

    def _tell_changes(self, jobs: Sequence[Job], there: Mapping[str, tuple[str, Mapping[str, str]]]) -> None:
        """Say which jobs run again since what they read has changed, and of which it is not known.

        Args:
            jobs: all.
            there: of those that have finished in the store, run id and tags, by fingerprint.
        """
        again = [job for job in jobs if job.changed and job.fingerprint not in there]
        if again:
            names = ", ".join(dict.fromkeys(name for job in again for name in job.changed))
            log.warning(
                "%s changed since jobs ran that read it: %d of %s %s again, in new directories.",
                names, len(again), counted(len(jobs), "job"), verb(len(again), "runs", "run"),
            )  # fmt: skip
        reading = [job for job in jobs if files(job.contents)]
        old = [job for job in reading if job.found == State.FINISHED and not digests_of(job.directory)]
        elsewhere = [job for job in reading if job.found == State.NEW and job.fingerprint in there]
        old += [job for job in elsewhere if not contents_of(there[job.fingerprint][1])]
        if old:
            names = ", ".join(dict.fromkeys(name for job in old for name in files(job.contents)))
            log.warning(
                "Of %s it was not kept what was read, so that nobody knows whether %s changed since; "
                "sweep.rerun=all runs all jobs again.",
                counted(len(old), "finished job"), names,
            )  # fmt: skip

    def _launch(self, jobs: Sequence[Job]) -> str | None:
        """Hand jobs to the launcher; its own failure, such as a worker that died, is told and not raised."""
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.context, task_function=self.task, config=with_workers_for(len(jobs), self.master)
        )
        overrides = [[*job.overrides, *self._places(job), *_quiet(job)] for job in jobs]
        before = sum(o.word in board.GOOD for o in self.outcomes.values())
        try:
            with Watch(jobs, before, self.planned), starting_workers():
                launcher.launch(overrides, initial_job_idx=self._launched)
        except Exception as error:
            log.debug("The launcher failed.", exc_info=error)
            return board.failure(error)
        finally:
            self._launched += len(jobs)
        return None

    def _places(self, job: Job) -> list[str]:
        inside = job.directory.relative_to(self.directory)
        return [f"hydra.sweep.dir={quoted(str(self.directory))}", f"hydra.sweep.subdir={quoted(str(inside))}"]

    def _all_outcomes(self) -> list[board.JobOutcome]:
        return [self.outcomes.get(index, board.JobOutcome("not run")) for index in range(len(self.jobs))]

    def _end(self, status: str) -> None:
        outcomes = self._all_outcomes()
        for index, job in enumerate(self.jobs):  # of a sweep that was stopped in the middle of a launch
            if index not in self.outcomes:
                outcomes[index] = board.outcome(job, True, False, None)
        if self.jobs:
            board.print_table(self.jobs, outcomes, self.master.sweep.metric)
        if self.parent.uri is not None:
            sources = [each for each in self.master.hydra.runtime.config_sources if each.provider == "command-line"]
            settings, of = self._tracking, (self.name, self.parent.tracker.run_id)
            settings = settings | {"uri": settings.get("uri") or self.parent.uri}
            track_failures(self.jobs, outcomes, settings, of, [each.path for each in sources])
        reported = self.parent.uri is not None and self.master.sweep.report and status != "KILLED"
        absent = lacking("report") if reported else []
        if reported and not absent:
            self.described = self._report()
        left = self.parent.close(self.jobs, outcomes, status, "" if self.described else note(self.jobs, outcomes))
        print(f"sweep      {self.name}\ndirectory  {self.directory}")
        if absent:
            print(f"report     none, since it needs {listed(absent)}: type {remedy('report')}")
        if self.parent.uri is not None:
            server = address(self.parent.uri) if self.parent.uri.startswith("http") else None
            where = f"{server}/{self.parent.page}" if server else "type hybridopt-ui"
            print(f"review     {where}")
        if left:
            waits = f"{counted(left, 'record')} of the sweep {verb(left, 'waits', 'wait')} in its directory"
            print(f"{waits}, since the tracking store did not take {verb(left, 'it', 'them')}.")

    def _report(self) -> bool:
        """Whether there is a report on the sweep, attached to its run; one that fails spoils no sweep."""
        from hybridopt.report.make import make_report
        from hybridopt.report.page import print_short

        try:
            report = make_report(self.parent.uri, self.parent.tracker.run_id, out=self.directory / "report")
            print_short(report.text, report.html)
        except Exception as error:
            log.warning(
                "There is no report (%s); to try again, type: hybridopt-report %s", board.failure(error), self.name
            )
            return False
        return True


class WithoutConfigs(Callback):
    """Of a job that is over, Hydra's launchers keep what came of it to the end; the config, a fifth of a MB, is not."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        job_return.cfg = job_return.hydra_cfg = None


def deliver(jobs: Sequence[Job]) -> None:
    """Deliver what jobs that are over have not, such as those that were killed in their last seconds."""
    for job in jobs:
        try:
            if undelivered(job.directory) and deliver_leftovers(job.directory):
                return  # the store is away, and so it is for the others
        except HybridoptError as error:
            log.warning("What %s has reported is not delivered yet: %s", job.label, error)


@contextmanager
def _terminable() -> Iterator[None]:
    """Inside, SIGTERM ends the sweep as Ctrl-C does."""

    def stop(number: int, _: Any) -> None:
        sys.exit(128 + number)

    former = None
    with suppress(ValueError):  # only the main thread may install handlers
        former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if former is not None:
            signal.signal(signal.SIGTERM, former)


def _quiet(job: Job) -> list[str]:
    """Bars of jobs that run side by side would write over each other, and over the sweep's."""
    said = any(override.startswith("trainer.enable_progress_bar=") for override in job.overrides)
    return [] if said else ["trainer.enable_progress_bar=false"]


def with_workers_for(jobs: int, config: DictConfig) -> DictConfig:
    """The config of a sweep whose launcher starts no more processes than there are jobs.

    One that is never given a job knows nothing of ours, and outlives a launcher that is killed by minutes.
    """
    wanted = config.hydra.launcher.get("n_jobs")  # as joblib counts: -1 is all cores
    if not isinstance(wanted, int) or 0 <= wanted <= jobs:
        return config
    available = wanted if wanted > 0 else (os.cpu_count() or 1) + 1 + wanted
    config = copy.deepcopy(config)
    with read_write(config), open_dict(config):
        config.hydra.launcher.n_jobs = max(1, min(available, jobs))
    return config
