"""What a sweep shows: a line while it runs, and a table at its end."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hybridopt.errors import HybridoptError, ResumeError, counted, options
from hybridopt.execution.contents import DATA
from hybridopt.execution.directory import RESULT_FILE, TRACEBACK_FILE, State, codes, reason, state
from hybridopt.execution.identity import digests_of
from hybridopt.sweep.plan import Job
from hybridopt.tracking.checked import json_of, read_checked
from hybridopt.tracking.lines import JOURNAL
from hybridopt.tracking.provenance import differing_code

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

BAR = "sweep {percentage:3.0f}%|{bar}| {desc} [{elapsed}]"
BAR_AND_REST = BAR.replace("]", "<{remaining}]")  # once a job has ended: before that there is nothing to measure by
PERIOD = 0.5  # seconds between two looks at the jobs
TAIL = 8192  # bytes of a journal in which the latest metrics are looked for
NAMED = 3  # jobs that are listed per failure reason; of more, the number is told
ROWS = 60  # of the table; of a larger sweep only what went wrong is listed
GOOD = ("ran", "resumed", "skipped")
METRICS = ("test/accuracy", "test/r2", "test/loss", "final/val/loss")  # the first one that a job has is shown


@dataclass
class JobOutcome:
    """What became of a job: a word, and a reason or an empty text."""

    word: str
    why: str = ""


@dataclass
class Numbers:
    """What is shown of a result."""

    summary: dict[str, int | float]


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


def headline(directory: Path) -> str:
    """The result of a finished job in a line."""
    metrics = summary(directory)
    main = next((name for name in METRICS if name in metrics), None)
    told = f"{main} {metrics[main]:.4f}, " if main else ""
    return f"{told}{metrics.get('cost/forwards', 0):,.0f} forwards, {metrics.get('cost/seconds', 0):.1f} s"


def summary(directory: Path) -> dict[str, float]:
    """The metrics of a finished job; empty where it has not finished, or where its result is damaged."""
    try:
        return read_checked(directory / RESULT_FILE, json_of(Numbers), "").summary
    except ResumeError:
        return {}


def outcome(job: Job, launched: bool, elsewhere: bool, trouble: str | None) -> JobOutcome:
    """What became of a job.

    Args:
        job: with the state in which it was found.
        launched: whether this sweep started it.
        elsewhere: whether it had finished on another machine.
        trouble: what the launcher complained about, or None.
    """
    if job.refused:
        return JobOutcome("refused", job.refused)
    if elsewhere:
        return JobOutcome("skipped", "finished elsewhere")
    now = state(job.directory)
    if not launched:
        return {
            State.FINISHED: JobOutcome("skipped", "finished before"),
            State.FAILED: JobOutcome("failed", f"{reason(job.directory)} (before; sweep.rerun=failed runs it again)"),
        }.get(now, JobOutcome("not run"))
    if now == State.FINISHED:
        return JobOutcome("resumed" if job.found == State.HALF_DONE else "ran")
    if now == State.FAILED:
        return JobOutcome("failed", reason(job.directory))
    return JobOutcome("interrupted" if now == State.HALF_DONE else "not run", trouble or "")


def print_table(
    jobs: Sequence[Job], outcomes: Sequence[JobOutcome], metric: str, console: Console | None = None
) -> None:
    """Print the table of a sweep, with the metric that it is about, and which versions of the code it is of."""
    from rich.console import Console

    console = console or Console(width=max(Console().width, 100), highlight=False)
    console.print(table(jobs, outcomes, metric))
    for line in why(jobs, outcomes):
        console.print(line, soft_wrap=True)
    counts = Counter(outcome.word for outcome in outcomes)
    console.print(f"{counted(len(jobs), 'job')}: " + ", ".join(f"{number} {word}" for word, number in counts.items()))
    for told in (mixed_code(jobs), mixed_data(jobs), unknown_metric(jobs, metric)):
        if told:
            console.print(told, soft_wrap=True)


def table(jobs: Sequence[Job], outcomes: Sequence[JobOutcome], metric: str) -> Table:
    """A row for each job; of a large sweep, for each job that has not finished."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    pairs = [(job, o) for job, o in zip(jobs, outcomes, strict=True) if len(jobs) <= ROWS or o.word not in GOOD]
    results = {id(job): summary(job.directory) for job, _ in pairs}
    test = next((name for name in METRICS if any(name in result for result in results.values())), METRICS[-1])
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("job")
    drawn.add_column("outcome", no_wrap=True)
    for column in (metric, test, "forwards", "seconds"):
        drawn.add_column(column, justify="right", no_wrap=True)
    for job, o in pairs:
        result = results[id(job)]
        told = [f"{result[name]:.4f}" if name in result else "" for name in (metric, test)]
        told += [f"{result['cost/forwards']:,.0f}", f"{result['cost/seconds']:.1f}"] if result else ["", ""]
        drawn.add_row(job.label, o.word, *told, style=None if o.word in GOOD else "bold")
    return drawn


def why(jobs: Sequence[Job], outcomes: Sequence[JobOutcome]) -> list[str]:
    """What went wrong: each failure reason once, with the jobs that failed for it."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for job, o in zip(jobs, outcomes, strict=True):
        if o.why and o.word not in GOOD:
            by_reason.setdefault((o.word, o.why), []).append(job.label)
    lines = []
    for (word, text), labels in by_reason.items():
        more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
        lines.append(f"{word}: {'; '.join(labels[:NAMED])}{more}\n  {text}")
    return lines


def mixed_code(jobs: Sequence[Job]) -> str:
    """A sentence where results were computed by different versions of the code; else empty."""
    differing = differing_code(code for job in jobs for code in codes(job.directory))
    if not differing:
        return ""
    return (
        f"The jobs were computed by different versions of the code ({differing}); sweep.rerun=all runs all of them "
        "again."
    )


def mixed_data(jobs: Sequence[Job]) -> str:
    """A sentence where jobs of one data set and seed did not read the same data; else empty.

    Such data have changed while the sweep ran, or where no setting names them: downloads, and what a plugin finds.
    """
    versions: dict[str, Counter[str]] = {}
    for job in jobs:
        digest = digests_of(job.directory).get(DATA)
        if digest:
            one = json.dumps([job.config["dataset"], job.config["seed"]], sort_keys=True)
            versions.setdefault(one, Counter())[digest[:8]] += 1
    mixed = [found for found in versions.values() if len(found) > 1]
    if not mixed:
        return ""
    told = ", ".join(f"{number} of {digest}" for digest, number in sorted(sum(mixed, Counter()).items()))
    return (
        f"Jobs of one data set have read different versions of the data ({told}), which are not compared with one "
        "another; sweep.rerun=all runs all of them again."
    )


def unknown_metric(jobs: Sequence[Job], metric: str) -> str:
    """A sentence where jobs have finished, and none has the metric that the sweep is about; else empty."""
    results = [result for result in (summary(job.directory) for job in jobs) if result]
    if not results or any(metric in result for result in results):
        return ""
    return f"There is no metric {metric!r} for sweep.metric.{options(results[0], metric)}"


def failure(error: BaseException) -> str:
    """An error of a launcher, in a line."""
    return str(error) if isinstance(error, HybridoptError) else repr(error)[:300]
