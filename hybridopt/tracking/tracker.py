"""What the rest of the program uses to report: a journal, and a writer behind it where MLflow is asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hybridopt.errors import ConfigError, StorageError, brief, options
from hybridopt.toolbox.credentials import address
from hybridopt.toolbox.extras import lacking, remedy
from hybridopt.tracking import pages
from hybridopt.tracking.files import hold
from hybridopt.tracking.identity import DIRECTORY_TAG, RunIdentity, holds_identity, identify, origin
from hybridopt.tracking.journal import Journal
from hybridopt.tracking.lines import JOURNAL
from hybridopt.tracking.writer import PATIENCE, MlflowWriter

if TYPE_CHECKING:
    from filelock import BaseFileLock

log = logging.getLogger(__name__)

BACKENDS = ("none", "mlflow")


class Tracker:
    """Takes what a run reports, in microseconds, and never waits; an odd value, or a store that is away, ends no run.

    What cannot be kept ends it: every ``log_...`` and ``set_tags`` raises StorageError where the disk is full or the
    directory is gone, so that no checkpoint is ever ahead of the journal.

    Args:
        journal: where everything goes.
        identity: the MLflow run, or None.
        writer: what delivers the journal to that run; it is started here.
    """

    def __init__(self, journal: Journal, identity: RunIdentity | None = None, writer: MlflowWriter | None = None):
        self.directory = journal.directory
        self.identity = identity
        self._journal = journal
        self._writer = writer
        self._complaints: set[str] = set()
        self._undelivered: int | None = None
        if writer is not None:
            writer.start()

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run, or None."""
        return None if self.identity is None else self.identity.run_id

    @property
    def url(self) -> str:
        """Where to look at the run: a page of the MLflow UI, the command that opens it, or the journal."""
        if self.identity is None:
            return str(self.directory / JOURNAL)
        page = pages.run(self.identity.experiment_id, self.identity.run_id)
        if self.identity.tracking_uri.startswith("http"):
            return f"{address(self.identity.tracking_uri)}/{page}"
        first = f"{remedy('ui')}, then " if lacking("ui") else ""
        return f"{first}mlflow ui --backend-store-uri '{self.identity.tracking_uri}', then http://127.0.0.1:5000/{page}"

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Report metrics at ``step`` (forwards spent).

        What the journal had at its opening, at this step or later, is ignored: a resumed run repeats those numbers.
        """
        self._record(self._journal.metrics, metrics, step)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Report tags; a later value replaces an earlier one."""
        self._record(self._journal.tags, tags)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Report parameters as text; in MLflow the first value of a parameter stays."""
        self._record(self._journal.params, params)

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Report a file or folder to be uploaded soon, as it is then, into ``folder`` of the artifacts."""
        self._record(self._journal.artifact, path, folder)

    def log_model(self, path: Path) -> None:
        """Report an MLflow model folder, which becomes a logged model of the run under the folder's name."""
        self._record(self._journal.model, path)

    def log_input(self, dataset: Mapping[str, str], context: str) -> None:
        """Report a data set that the run uses.

        Args:
            dataset: name, digest, source_type, source, and schema and profile as JSON, as MLflow has them.
            context: training, validation or testing.
        """
        self._record(self._journal.input, dataset, context)

    def position(self) -> str:
        """How far the journal has come, all of it on the disk: what is kept from now on names it.

        Raises:
            StorageError: the disk is full.
        """
        try:
            return self._journal.position()
        except OSError as error:
            raise self._storage_error(error) from error

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> int:
        """End the run: deliver what is left, but not for longer than ``patience``; a second call does nothing.

        The status is in the journal before anything is delivered: by that a run has ended, and not before.

        Returns:
            The number of operations that MLflow does not have; resuming the finished run delivers them.

        Raises:
            StorageError: it cannot be kept that the run has FINISHED, so it has not; MLflow is told that it FAILED.
        """
        if self._undelivered is not None:
            return self._undelivered
        self._undelivered, trouble = 0, None
        try:
            self._journal.status(status)
        except (OSError, StorageError) as error:
            trouble = error
        if self._writer is not None:
            self._undelivered = self._writer.finish()
            if trouble is not None:
                self._writer.tell("FAILED" if status == "FINISHED" else status)
        self._journal.close()
        if trouble is not None and status == "FINISHED":
            raise self._storage_error(trouble) from trouble
        return self._undelivered

    def _record(self, write: Callable[..., None], *content: Any) -> None:
        try:
            write(*content)
        except StorageError:
            raise
        except Exception as error:  # an odd value must not end a training
            if isinstance(error, OSError) and not self._journal.closed:
                raise self._storage_error(error) from error
            complaint = f"{type(error).__name__}: {brief(error)}"
            if complaint not in self._complaints:
                self._complaints.add(complaint)
                log.warning("A report of the run in %s is lost (%s).", self.directory, complaint)

    def _storage_error(self, error: Exception) -> StorageError:
        if isinstance(error, StorageError):
            return error
        return StorageError(
            f"The journal of the run in {self.directory} cannot be written ({brief(error)}): make room, and type "
            f"hybridopt resume={self.directory} to go on from the last checkpoint."
        )


def open_tracker(
    settings: Mapping[str, Any],
    directory: Path,
    *,
    run_name: str,
    parent_run_id: str | None = None,
    resume: bool = False,
    tags: Mapping[str, str] | None = None,
    lock: BaseFileLock | None = None,
) -> Tracker:
    """Open the tracker of a run.

    Args:
        settings: the config group ``tracking``: name ("none" or "mlflow"); for mlflow also uri, experiment,
            and patience, the seconds that its end waits for the store.
        directory: the run's directory.
        run_name: shown in the UI.
        parent_run_id: the MLflow run of the sweep.
        resume: whether to go on with the run of this directory. Its ``run.json`` says where that is, whatever the
            settings say; a run that was never tracked gets an MLflow run with all of its past.
        tags: by which the run is to be found from the first moment on.
        lock: of the directory, where it is held already; the end of the run releases it.

    Raises:
        ConfigError: an unknown name, or a directory that already holds a run.
        ResumeError: another process is writing this run.
        StorageError: the directory cannot be written.
        TrackingError: the store cannot be used, or has lost the run.
    """
    directory = Path(directory).absolute()
    if settings["name"] not in BACKENDS:
        raise ConfigError(f"There is no tracking {settings['name']!r}.{options(BACKENDS, settings['name'])}")
    with ExitStack() as undo:
        held = lock or hold(directory)
        if lock is None:
            undo.callback(held.release)
        if not resume and holds_run(directory):
            raise ConfigError(
                f"{directory} already holds a run: type resume={directory} to continue it, or choose another "
                "directory (hydra.run.dir=<folder>)."
            )
        identity = None
        if settings["name"] == "mlflow":
            identity = identify(settings, directory, run_name, {**origin(directory, parent_run_id), **(tags or {})})
        journal = Journal(directory, held)
        if tags:
            journal.tags(tags)
        if resume:
            journal.status("RUNNING")
            journal.tags({DIRECTORY_TAG: directory})  # it may have been moved
        undo.pop_all()
    if identity is None:
        return Tracker(journal)
    patience = settings.get("patience", PATIENCE)
    return Tracker(
        journal, identity, MlflowWriter(directory, identity.tracking_uri, identity.run_id, patience=patience)
    )


def holds_run(directory: Path) -> bool:
    """Whether a directory has an MLflow run, or something in its journal."""
    journal = directory / JOURNAL
    return holds_identity(directory) or (journal.exists() and journal.stat().st_size > 0)
