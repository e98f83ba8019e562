"""The progress bar of a sweep, over jobs in whichever processes they run."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from hybridopt.execution.directory import TRACEBACK_FILE, State, reason, state
from hybridopt.sweep.board import headline
from hybridopt.sweep.plan import Job
from hybridopt.tracking.lines import JOURNAL

BAR = "sweep {percentage:3.0f}%|{bar}| {desc} [{elapsed}]"
BAR_AND_REST = BAR.replace("]", "<{remaining}]")  # once a job has ended: before that there is nothing to measure by
PERIOD = 0.5  # seconds between two looks at the jobs
TAIL = 8192  # bytes of a journal in which the latest metrics are looked for


class Watch:
    """A progress bar over running jobs, whichever processes they run in: their directories tell.

    Args:
        jobs: those to be run.
        before: how many of the sweep had finished before.
        planned: jobs of the sweep in all, over which the bar goes; 0 for those to be run.
        shown: whether anything is drawn.
    """

    def __init__(self, jobs: Sequence[Job], before: int = 0, planned: int = 0, shown: bool = True):
        self.jobs, self.before, self.shown = jobs, before, shown
        self._earlier = before if planned else 0
        self._total = max(planned, self._earlier + len(jobs))
        self._over: set[Path] = set()
        self._stop = threading.Event()
        self._started = time.time()

    def __enter__(self) -> Watch:
        from tqdm import tqdm

        self._bar = tqdm(
            total=float(self._total),
            initial=self._earlier,
            file=sys.stderr,
            disable=not self.shown,
            dynamic_ncols=True,
            bar_format=BAR,
        )
        self._thread = threading.Thread(target=self._follow, name="sweep-watch", daemon=True)
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        self._bar.close()

    def _follow(self) -> None:
        while not self._stop.wait(PERIOD):
            self._look()

    def _look(self) -> None:
        waiting = [job for job in self.jobs if job.directory not in self._over]
        done, running = 0.0, 0
        for job in waiting:
            now = self._state(job)
            if now in (State.FINISHED, State.FAILED):
                self._over.add(job.directory)
                self._say(job, now)
            elif now == State.HALF_DONE:
                done += progress(job)
                running += self._is_running(job)
        failed = sum(self._state(job) == State.FAILED for job in self.jobs if job.directory in self._over)
        finished = self.before + len(self._over) - failed
        told = f"{finished} done, {running} running, {failed} failed"
        if len(self._over) > failed:  # one that fails at once tells nothing of the others
            self._bar.bar_format = BAR_AND_REST
        if told != self._bar.desc or sys.stderr.isatty():  # a log file needs no second line that says the same
            self._bar.n = self._earlier + len(self._over) + done
            self._bar.set_description_str(told)

    def _state(self, job: Job) -> State:
        """A traceback counts only if it is of this run: a job that failed once may be going on."""
        now = state(job.directory)
        trace = job.directory / TRACEBACK_FILE
        stale = now == State.FAILED and trace.stat().st_mtime < self._started
        return State.HALF_DONE if stale else now

    def _is_running(self, job: Job) -> bool:
        """Whether a half-done job has been at work since the sweep began."""
        try:
            return (job.directory / JOURNAL).stat().st_mtime >= self._started
        except OSError:
            return False

    def _say(self, job: Job, now: State) -> None:
        line = headline(job.directory) if now == State.FINISHED else f"failed: {reason(job.directory)}"
        if self.shown:
            self._bar.write(f"{job.label}: {line}", file=sys.stdout)


def progress(job: Job) -> float:
    """The share of its budget that a running job has spent, by the last metrics in its journal."""
    from hybridopt.tracking.operations import parse

    limit = job.config.get("budget", {}).get("forwards")
    try:
        with (job.directory / JOURNAL).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL))
            lines = file.read().splitlines()
    except OSError:
        return 0.0
    for line in reversed(lines):
        if b'"kind":"metrics"' in line and limit:
            try:
                return min(1.0, parse(line)["step"] / limit)
            except ValueError:
                return 0.0
    return 0.0
