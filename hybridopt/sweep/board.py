"""What became of the jobs of a sweep, and the table at its end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hybridopt.errors import HybridoptError, ResumeError, counted, options
from hybridopt.execution.contents import DATA
from hybridopt.execution.directory import RESULT_FILE, State, codes, reason, state
from hybridopt.execution.divergence import ADVICE, Mark, mark_of, number
from hybridopt.execution.identity import digests_of
from hybridopt.sweep.plan import Job
from hybridopt.tracking.checked import json_of, read_checked
from hybridopt.tracking.provenance import differing_code

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

NAMED = 3  # jobs that are listed per failure reason; of more, the number is told
ROWS = 60  # of the table; of a larger sweep only what went wrong is listed
GOOD, FAILED = ("ran", "resumed", "skipped"), ("failed", "refused")
METRICS = ("test/accuracy", "test/r2", "test/loss", "final/val/loss")  # the first one that a job has is shown


@dataclass
class JobOutcome:
    """What became of a job: a word, a reason or an empty text, and what is wrong with the numbers of a finished one."""

    word: str
    why: str = ""
    mark: Mark | None = None

    @property
    def well(self) -> bool:
        """Whether it has finished, with numbers that are of use."""
        return self.word in GOOD and self.mark is None

    def __str__(self) -> str:
        return self.word if self.mark is None else f"{self.word}, {self.mark.word}"


@dataclass
class Numbers:
    """What is shown of a result."""

    summary: dict[str, int | float]


def headline(directory: Path) -> str:
    """The result of a finished job in a line."""
    metrics = summary(directory)
    main = next((name for name in METRICS if name in metrics), None)
    told = f"{main} {number(metrics[main])}, " if main else ""
    mark = mark_of(metrics)
    wrong = f", {mark.word}" if mark else ""
    return f"{told}{metrics.get('cost/forwards', 0):,.0f} forwards, {metrics.get('cost/seconds', 0):.1f} s{wrong}"


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
    mark = mark_of(summary(job.directory)) if now == State.FINISHED else None
    if not launched:
        return {
            State.FINISHED: JobOutcome("skipped", "finished before", mark),
            State.FAILED: JobOutcome("failed", f"{reason(job.directory)} (before; sweep.rerun=failed runs it again)"),
        }.get(now, JobOutcome("not run"))
    if now == State.FINISHED:
        return JobOutcome("resumed" if job.found == State.HALF_DONE else "ran", mark=mark)
    if now == State.FAILED:
        return JobOutcome("failed", reason(job.directory))
    return JobOutcome("interrupted" if now == State.HALF_DONE else "not run", trouble or "")


def print_table(
    jobs: Sequence[Job], outcomes: Sequence[JobOutcome], metric: str, console: Console | None = None
) -> None:
    """Print the table of a sweep, with the metric that it is about, and which versions of the code it is of."""
    from rich.console import Console

    console = console or Console(width=max(Console().width, 100), highlight=False)
    drawn = table(jobs, outcomes, metric)
    if drawn.row_count:
        console.print(drawn)
    for line in (*why(jobs, outcomes), *marked(jobs, outcomes)):
        console.print(line, soft_wrap=True)
    counts = Counter(outcome.word for outcome in outcomes)
    console.print(f"{counted(len(jobs), 'job')}: " + ", ".join(f"{number} {word}" for word, number in counts.items()))
    for told in (mixed_code(jobs), mixed_data(jobs), unknown_metric(jobs, metric)):
        if told:
            console.print(told, soft_wrap=True)


def table(jobs: Sequence[Job], outcomes: Sequence[JobOutcome], metric: str) -> Table:
    """A row for each job; of a large sweep, for each job that has not finished, or has diverged."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    pairs = [(job, o) for job, o in zip(jobs, outcomes, strict=True) if len(jobs) <= ROWS or not o.well]
    results = {id(job): summary(job.directory) for job, _ in pairs}
    test = next((name for name in METRICS if any(name in result for result in results.values())), METRICS[-1])
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("job")
    drawn.add_column("outcome", no_wrap=True)
    shown = list(dict.fromkeys((metric, test)))
    for column in (*shown, "forwards", "seconds"):
        drawn.add_column(column, justify="right", no_wrap=True)
    for job, o in pairs:
        result = results[id(job)]
        told = [number(result.get(name)) for name in shown]
        told += [f"{result['cost/forwards']:,.0f}", f"{result['cost/seconds']:.1f}"] if result else ["", ""]
        drawn.add_row(job.label, str(o), *told, style=None if o.well else "bold")
    return drawn


def why(jobs: Sequence[Job], outcomes: Sequence[JobOutcome]) -> list[str]:
    """What went wrong: each failure reason once, with the jobs that failed for it."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for job, o in zip(jobs, outcomes, strict=True):
        if o.why and o.word not in GOOD:
            by_reason.setdefault((o.word, o.why), []).append(job.label)
    return [f"{word}: {_named(labels)}\n  {text}" for (word, text), labels in by_reason.items()]


def marked(jobs: Sequence[Job], outcomes: Sequence[JobOutcome]) -> list[str]:
    """The jobs that finished with numbers that are of no use, by what is wrong with them."""
    by_word: dict[str, list[str]] = {}
    for job, o in zip(jobs, outcomes, strict=True):
        if o.mark is not None:
            by_word.setdefault(o.mark.word, []).append(f"{job.label} ({o.mark.text})")
    return [f"{word}: {_named(labels)}\n  {ADVICE}" for word, labels in by_word.items()]


def _named(labels: Sequence[str]) -> str:
    """The first ones, and how many more there are."""
    more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    return f"{'; '.join(labels[:NAMED])}{more}"


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
