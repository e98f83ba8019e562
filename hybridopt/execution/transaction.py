"""The beginning and the end of a run: what is kept in which order, so that a kill at any moment loses nothing.

Config, then the MLflow run, then the journal; at the end the result, then the journal's last line, by which the run has
finished, then its delivery. Whatever a kill leaves undone of it is done by whoever goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridopt.errors import Interrupted, ResumeError, StorageError
from hybridopt.execution.agreement import check_same
from hybridopt.execution.checkpoint import FILE, check_resumable
from hybridopt.execution.directory import TRACEBACK_FILE, leave_traceback, undone_if_refused
from hybridopt.execution.identity import digests_of, note_digests, read_config, run_name, write_config
from hybridopt.execution.note import page_tags, without_failure
from hybridopt.tracking.files import explaining
from hybridopt.tracking.tracker import Tracker, open_tracker
from hybridopt.tracking.trust import remember

if TYPE_CHECKING:
    from filelock import BaseFileLock


def begin(
    config: Mapping[str, Any],
    directory: Path,
    digests: Mapping[str, str],
    parent_run_id: str | None,
    resume: bool,
    lock: BaseFileLock,
) -> Tracker:
    """Open the tracker of a run that goes on, or of a new one, whose config is kept before MLflow knows of it.

    Args:
        config: the run's.
        directory: the run's.
        digests: of what decides its result.
        parent_run_id: the MLflow run of its sweep.
        resume: whether it goes on.
        lock: of the directory.

    Raises:
        ResumeError: another run is in the directory by now, or its checkpoint is not one from which this one can go on.
        StorageError: the directory cannot be written; likewise.
        TrackingError: the store cannot be used; a new run leaves nothing behind.
    """
    settings, name = config["tracking"], run_name(config)
    if resume:
        _check_resumable(config, directory, digests)
        tracker = open_tracker(settings, directory, run_name=name, parent_run_id=parent_run_id, resume=True, lock=lock)
        (directory / TRACEBACK_FILE).unlink(missing_ok=True)  # of the former attempt
        note_digests(directory, digests)  # a former version kept none
        tracker.set_tags(without_failure(directory))
        return tracker
    with explaining(directory, "make room, and type the same command again"), undone_if_refused(directory):
        if settings.get("uri"):
            remember(settings["uri"])  # before a kill could leave the directory alone with it
        write_config(config, directory)
        note_digests(directory, digests)
        return open_tracker(settings, directory, run_name=name, parent_run_id=parent_run_id, lock=lock)


def _check_resumable(config: Mapping[str, Any], directory: Path, digests: Mapping[str, str]) -> None:
    untracked = {"tracking": None}  # its store is the one that the user names now
    if {**read_config(directory), **untracked} != {**config, **untracked}:
        raise ResumeError(f"The run in {directory} was started over just now: type the same again.")
    checkpoint = directory / FILE
    if checkpoint.exists():
        check_resumable(checkpoint, digests)
    else:
        check_same(digests_of(directory), digests, f"The run in {directory} began with", directory)


@contextmanager
def closing_run(tracker: Tracker, directory: Path) -> Iterator[None]:
    """Close the tracked run with the right status, whatever happens inside."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt, SystemExit):
        tracker.finish("KILLED")
        raise
    except BaseException as error:
        with suppress(OSError, StorageError):  # such as a disk that is full, which is what the error is about
            tracker.log_artifact(leave_traceback(directory, error))
            tracker.set_tags(page_tags(directory))
        tracker.finish("FAILED")
        raise
