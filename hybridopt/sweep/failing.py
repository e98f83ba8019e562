"""Jobs that came to nothing before they were tracked: each gets a run that has FAILED, as one that fails later has.

Such a job was refused when it was composed, or when its parts were built. Nothing of it but a sentence is known, which
is what its run says.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hybridopt.errors import HybridoptError, TrackingError, brief, counted
from hybridopt.execution.directory import CONFIG_FILE, TRACEBACK_FILE
from hybridopt.execution.identity import flattened, tags, without_command, write_config
from hybridopt.execution.note import COMMAND, command_line, page_tags
from hybridopt.sweep.board import FAILED, GOOD, JobOutcome, why
from hybridopt.sweep.plan import Job
from hybridopt.toolbox.credentials import masked
from hybridopt.tracking.files import hold, write_atomically
from hybridopt.tracking.identity import holds_identity
from hybridopt.tracking.sweeps import NAME
from hybridopt.tracking.tracker import Tracker, open_tracker

log = logging.getLogger(__name__)


def track_failures(
    jobs: Sequence[Job],
    outcomes: Sequence[JobOutcome],
    settings: Mapping[str, Any],
    sweep: tuple[str, str | None],
    config_dirs: Sequence[str] = (),
) -> None:
    """Give each job that failed without a run one that says why; a store that does not take it spoils no sweep.

    Args:
        jobs: of the sweep.
        outcomes: what became of them.
        settings: the config group ``tracking``, with the sweep's store.
        sweep: its id and its MLflow run.
        config_dirs: the folders of ``--config-dir``.
    """
    for job, outcome in zip(jobs, outcomes, strict=True):
        if outcome.word in FAILED and not holds_identity(job.directory):
            try:
                _track(job, settings, sweep, config_dirs)
            except TrackingError as error:
                log.warning("It is not tracked which jobs have failed: %s", error)
                return  # the store is away, and so it is for the others
            except (HybridoptError, OSError) as error:
                log.warning("That %s has failed is not tracked (%s).", job.label, brief(error))


def _track(job: Job, settings: Mapping[str, Any], sweep: tuple[str, str | None], config_dirs: Sequence[str]) -> None:
    """A run of a job, in its directory, to which it can be resumed once what it failed of is mended."""
    name, parent = sweep
    lock = hold(job.directory)
    try:
        if job.config and not (job.directory / CONFIG_FILE).exists():
            write_config(job.config, job.directory)
        if job.refused:
            write_atomically(job.directory / TRACEBACK_FILE, masked(f"hybridopt.errors.ConfigError: {job.refused}\n"))
        said = {"hybridopt.sweep": name, COMMAND: masked(command_line(job.overrides, config_dirs)), **job.tags}
        said |= tags(job.config) if job.config else {}
        listed = job.tags.get(NAME, job.label)
        tracker = open_tracker(settings, job.directory, run_name=listed, parent_run_id=parent, tags=said, lock=lock)
    except BaseException:
        lock.release()
        raise
    _tell(tracker, job)


def _tell(tracker: Tracker, job: Job) -> None:
    """What there is of a job, and that it has failed."""
    try:
        tracker.log_params(flattened(without_command(job.config)))
        for file in (CONFIG_FILE, TRACEBACK_FILE):
            if (job.directory / file).exists():
                tracker.log_artifact(job.directory / file)
        tracker.set_tags(page_tags(job.directory))
    finally:
        tracker.finish("FAILED")


def note(jobs: Sequence[Job], outcomes: Sequence[JobOutcome]) -> str:
    """What the page of a sweep without a report says: how many jobs came to what, and why, as Markdown.

    When a job ran does not count: the sweep typed again says the same.
    """
    counts = Counter("finished" if outcome.word in GOOD else outcome.word for outcome in outcomes)
    told = ", ".join(f"{number} {word}" for word, number in counts.items())
    return "\n\n".join([f"{counted(len(jobs), 'job')}: {told}", *map(_as_bullet, why(jobs, outcomes))])


def _as_bullet(line: str) -> str:
    """Jobs and a reason, which Markdown shows as they are."""
    labels, _, reason = line.replace("`", "'").partition("\n")
    return f"- {labels}: `{' '.join(reason.split())}`"
