"""What the rest of the program uses to report: a journal, and a writer behind it where MLflow is asked for."""

from __future__ import annotations

import getpass
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hybridopt.errors import ConfigError, ResumeError, TrackingError, brief, options
from hybridopt.tracking.journal import JOURNAL, Journal, read_delivered, read_operations, write_atomically
from hybridopt.tracking.store import ensure_experiment, prepare_store
from hybridopt.tracking.writer import MlflowWriter

log = logging.getLogger(__name__)

IDENTITY = "run.json"
DIRECTORY_TAG = "hybridopt.directory"
BACKENDS = ("none", "mlflow")


@dataclass(frozen=True)
class RunIdentity:
    """The MLflow run that a directory belongs to, kept in its ``run.json``."""

    run_id: str
    experiment_id: str
    tracking_uri: str
    artifact_uri: str


class Tracker:
    """Takes what a run reports, in microseconds, and never raises or waits: a failure to report ends no training.

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
        page = f"#/experiments/{self.identity.experiment_id}/runs/{self.identity.run_id}"
        if self.identity.tracking_uri.startswith("http"):
            return f"{self.identity.tracking_uri}/{page}"
        return f"mlflow ui --backend-store-uri '{self.identity.tracking_uri}', then http://127.0.0.1:5000/{page}"

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

    def log_input(self, dataset: Mapping[str, str], context: str) -> None:
        """Report a data set that the run uses.

        Args:
            dataset: name, digest, source_type, source, and schema and profile as JSON, as MLflow has them.
            context: training, validation or testing.
        """
        self._record(self._journal.input, dataset, context)

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> int:
        """End the run: deliver what is left, for a few seconds where the store is away; a second call does nothing.

        Returns:
            The number of operations that MLflow does not have; resuming the finished run delivers them.
        """
        if self._undelivered is None:
            self._record(self._journal.status, status)
            self._undelivered = 0 if self._writer is None else self._writer.finish()
            self._journal.close()
        return self._undelivered

    def _record(self, write: Callable[..., None], *content: Any) -> None:
        try:
            write(*content)
        except Exception as error:  # a full disk or an odd value must not end a training
            complaint = f"{type(error).__name__}: {brief(error)}"
            if complaint not in self._complaints:
                self._complaints.add(complaint)
                log.warning("A report of the run in %s is lost (%s).", self.directory, complaint)


def open_tracker(
    settings: Mapping[str, Any],
    directory: Path,
    *,
    run_name: str,
    parent_run_id: str | None = None,
    resume: bool = False,
    tags: Mapping[str, str] | None = None,
) -> Tracker:
    """Open the tracker of a run.

    Args:
        settings: the config group ``tracking``: name ("none" or "mlflow"); for mlflow also uri and experiment.
        directory: the run's directory.
        run_name: shown in the UI.
        parent_run_id: the MLflow run of the sweep.
        resume: whether to go on with the run of this directory. Its ``run.json`` says where that is, whatever the
            settings say; a run that was never tracked gets an MLflow run with all of its past.
        tags: by which the run is to be found from the first moment on.

    Raises:
        ConfigError: an unknown name, or a directory that already holds a run.
        ResumeError: another process is writing this run.
        TrackingError: the store cannot be used, or has lost the run.
    """
    directory = Path(directory).absolute()
    if settings["name"] not in BACKENDS:
        raise ConfigError(f"There is no tracking {settings['name']!r}.{options(BACKENDS, settings['name'])}")
    if not resume and _holds_run(directory):
        raise ConfigError(
            f"{directory} already holds a run: type resume={directory} to continue it, or choose another hydra.run.dir."
        )
    identity = None
    if settings["name"] == "mlflow":
        identity = _identify(settings, directory, run_name, {**_origin(directory, parent_run_id), **(tags or {})})
    journal = Journal(directory)
    if tags:
        journal.tags(tags)
    if resume:
        journal.status("RUNNING")
        journal.tags({DIRECTORY_TAG: directory})  # it may have been moved
    if identity is None:
        return Tracker(journal)
    return Tracker(journal, identity, MlflowWriter(directory, identity.tracking_uri, identity.run_id))


def find_directory(run_id: str, uri: str | None) -> Path:
    """The directory of an MLflow run of ours.

    Args:
        run_id: MLflow's id.
        uri: the tracking URI, None for the default.

    Raises:
        ResumeError: the run is unknown, not ours, or its directory is gone.
        TrackingError: the store cannot be reached.
    """
    uri = prepare_store(uri, create=False)  # before MLflow is imported
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        noted = MlflowClient(uri).get_run(run_id).data.tags.get(DIRECTORY_TAG)
    except MlflowException as error:
        raise ResumeError(
            f"There is no run {run_id!r} in {uri} ({brief(error)}): type resume=<the run's directory>, or name its "
            f"store by tracking.uri=<uri>."
        ) from error
    if noted is None:
        raise ResumeError(f"The run {run_id} in {uri} is none of hybridopt's: it lacks the tag {DIRECTORY_TAG}.")
    if not Path(noted).is_dir():
        raise ResumeError(
            f"The directory {noted} of run {run_id} is gone from this machine: type resume=<where it is now>."
        )
    return Path(noted)


def deliver_leftovers(directory: Path) -> int:
    """Deliver what the journal of a finished run holds and MLflow does not have yet.

    Returns:
        The number of operations that are still undelivered, 0 for a run that MLflow never knew.

    Raises:
        ResumeError: another process is writing this run.
    """
    directory = Path(directory).absolute()
    left = undelivered(directory)
    if left == 0:
        return 0
    identity = _read_identity(directory)
    try:
        prepare_store(identity.tracking_uri, create=False)
    except TrackingError as error:
        log.warning("%s", error)
        return left
    journal = Journal(directory)  # held, so that no other process delivers at the same time
    writer = MlflowWriter(directory, identity.tracking_uri, identity.run_id)
    writer.start()
    left = writer.finish()
    journal.close()
    return left


def undelivered(directory: Path) -> int:
    """How many operations of a run its MLflow store does not have yet; 0 for a run that MLflow never knew."""
    if not (directory / IDENTITY).exists():
        return 0
    return sum(1 for _ in read_operations(directory / JOURNAL, read_delivered(directory)))


def _holds_run(directory: Path) -> bool:
    journal = directory / JOURNAL
    return (directory / IDENTITY).exists() or (journal.exists() and journal.stat().st_size > 0)


def _identify(settings: Mapping[str, Any], directory: Path, run_name: str, origin: Mapping[str, str]) -> RunIdentity:
    """The MLflow run of the directory: the one it has, or a new one."""
    if (directory / IDENTITY).exists():
        identity = _read_identity(directory)
        _check_run(identity, directory)
        return identity
    identity = _create_run(settings, origin, run_name)
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / IDENTITY, json.dumps(asdict(identity), indent=2) + "\n")
    return identity


def _read_identity(directory: Path) -> RunIdentity:
    try:
        return RunIdentity(**json.loads((directory / IDENTITY).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ResumeError(
            f"{directory / IDENTITY} does not name an MLflow run ({brief(error)}): delete it to get a new MLflow run."
        ) from error


def _check_run(identity: RunIdentity, directory: Path) -> None:
    prepare_store(identity.tracking_uri, create=False)  # before MLflow is imported
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        stage = MlflowClient(identity.tracking_uri).get_run(identity.run_id).info.lifecycle_stage
    except MlflowException as error:
        raise TrackingError(
            f"{identity.tracking_uri} has lost the run {identity.run_id} ({brief(error)}): delete "
            f"{directory / IDENTITY} to get a new one with all of its past, or correct the tracking_uri in it."
        ) from error
    if stage == "deleted":
        raise TrackingError(
            f"The MLflow run {identity.run_id} was deleted: type mlflow runs restore --run-id {identity.run_id}, or "
            f"delete {directory / IDENTITY} to get a new one."
        )


def _create_run(settings: Mapping[str, Any], tags: Mapping[str, str], run_name: str) -> RunIdentity:
    uri = prepare_store(settings.get("uri"))  # before MLflow is imported
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(uri)
    experiment_id = ensure_experiment(client, settings["experiment"])
    try:
        run = client.create_run(experiment_id, tags=dict(tags), run_name=run_name)
    except MlflowException as error:
        raise TrackingError(f"{uri} does not take a new run ({brief(error)}): type tracking=none.") from error
    return RunIdentity(run.info.run_id, experiment_id, uri, run.info.artifact_uri)


def _origin(directory: Path, parent_run_id: str | None) -> dict[str, str]:
    """The tags that say where a run comes from; MLflow sets them only for its fluent API."""
    tags = {
        DIRECTORY_TAG: str(directory),
        "mlflow.user": _user(),
        "mlflow.source.name": sys.argv[0],
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": _commit(Path.cwd()) or _own_commit(),
        "mlflow.parentRunId": parent_run_id,
    }
    return {name: value for name, value in tags.items() if value}


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return None


def _own_commit() -> str | None:
    home = Path(__file__).parent
    return None if "site-packages" in home.parts else _commit(home)  # an environment lies in somebody else's repository


def _commit(directory: Path) -> str | None:
    """The commit that is checked out around ``directory``, or None without git, repository or commit."""
    command = ["git", "-C", str(directory), "rev-parse", "--verify", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
