"""Which MLflow run a directory belongs to: made, noted in the directory, checked, and found again."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hybridopt.errors import ResumeError, TrackingError, brief
from hybridopt.toolbox.credentials import masked_uri
from hybridopt.tracking import provenance
from hybridopt.tracking.checked import config_digest, json_of, read_checked
from hybridopt.tracking.files import write_atomically
from hybridopt.tracking.journal import DELIVERED
from hybridopt.tracking.store import connect, ensure_experiment
from hybridopt.tracking.trust import check_named, remember

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

IDENTITY = "run.json"
KEY_FILE = "run.key"  # by which an MLflow run that is being made is found again, should this process be killed
DIRECTORY_TAG = "hybridopt.directory"
KEY_TAG = "hybridopt.key"


@dataclass(frozen=True)
class RunIdentity:
    """The MLflow run that a directory belongs to, kept in its ``run.json``.

    Args:
        run_id, experiment_id, artifact_uri: MLflow's.
        tracking_uri: of the store, without credentials.
        config_sha256: in the file, of the config beside it; empty where there is none.
    """

    run_id: str
    experiment_id: str
    tracking_uri: str
    artifact_uri: str
    config_sha256: str = ""


def identify(settings: Mapping[str, Any], directory: Path, run_name: str, tags: Mapping[str, str]) -> RunIdentity:
    """The MLflow run of a directory: the one it has, or a new one.

    A new run has a key, which the directory holds before MLflow knows of the run: whoever goes on in the directory
    after a kill in between finds by it the run that was made.

    Args:
        settings: the config group ``tracking``; its uri is what the user has named, never what the directory says.
        directory: the run's.
        run_name: of a new run.
        tags: of a new run.

    Raises:
        ResumeError: the note in the directory cannot be read.
        TrackingError: the store cannot be used, or has lost the run.
    """
    if holds_identity(directory):
        identity = read_identity(directory)
        check_named(identity.tracking_uri, [settings.get("uri")], directory)
        _check_run(identity, directory)
        (directory / KEY_FILE).unlink(missing_ok=True)  # of a process that was killed before it did so
        return identity
    client = connect(settings.get("uri"))
    experiment = ensure_experiment(client, settings["experiment"])
    (directory / DELIVERED).unlink(missing_ok=True)  # what was delivered went to a run that is this directory's no more
    identity = _made_before_a_kill(client, experiment, directory)
    if identity is None:
        key = uuid.uuid4().hex
        write_atomically(directory / KEY_FILE, key)
        identity = _create_run(client, experiment, {**tags, KEY_TAG: key}, run_name)
    write_identity(identity, directory)
    (directory / KEY_FILE).unlink(missing_ok=True)
    return identity


def holds_identity(directory: Path) -> bool:
    """Whether the directory belongs to an MLflow run."""
    return (directory / IDENTITY).exists()


def write_identity(identity: RunIdentity, directory: Path) -> None:
    """Note in a directory, made where there is none, which MLflow run it belongs to."""
    directory.mkdir(parents=True, exist_ok=True)
    kept = replace(identity, config_sha256=config_digest(directory))
    write_atomically(directory / IDENTITY, json.dumps(asdict(kept), indent=2) + "\n")


def read_identity(directory: Path) -> RunIdentity:
    """The MLflow run of a directory.

    Raises:
        ResumeError: its note cannot be read, or is another directory's.
    """
    return read_checked(directory / IDENTITY, _own, "delete it to get a new MLflow run with all of the past")


def _own(path: Path) -> RunIdentity:
    """What a note says that is of the run beside it."""
    identity, config = json_of(RunIdentity)(path), config_digest(path.parent)
    if identity.config_sha256 and config and identity.config_sha256 != config:
        raise ValueError("it is another run's")
    return identity


def _check_run(identity: RunIdentity, directory: Path) -> None:
    client = connect(identity.tracking_uri, create=False)
    from mlflow.exceptions import MlflowException

    try:
        stage = client.get_run(identity.run_id).info.lifecycle_stage
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


def _made_before_a_kill(client: MlflowClient, experiment: str, directory: Path) -> RunIdentity | None:
    """The MLflow run that a process made for a directory, and was killed before it noted that; or None."""
    try:
        key = (directory / KEY_FILE).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    if not (key.isalnum() and key.isascii()):
        return None  # damaged, so it names nothing
    found = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    return _identity_of(client, found[0]) if found else None


def _create_run(client: MlflowClient, experiment: str, tags: Mapping[str, str], run_name: str) -> RunIdentity:
    from mlflow.exceptions import MlflowException

    uri = masked_uri(client.tracking_uri)
    try:
        return _identity_of(client, client.create_run(experiment, tags=dict(tags), run_name=run_name))
    except MlflowException as error:
        raise TrackingError(f"{uri} does not take a new run ({brief(error)}): type tracking=none.") from error


def _identity_of(client: MlflowClient, run: Run) -> RunIdentity:
    """What a directory keeps of its MLflow run; the store is one that this machine's own runs use from now on."""
    uri, info = masked_uri(client.tracking_uri), run.info
    remember(uri)
    return RunIdentity(info.run_id, info.experiment_id, uri, cast(str, info.artifact_uri))


def origin(directory: Path, parent_run_id: str | None) -> dict[str, str]:
    """The tags that say where a run comes from; MLflow sets them only for its fluent API.

    The commit is that of the repository in which the command was typed; hybridopt's own is in ``hybridopt.code``.
    """
    commit = provenance.commit(Path.cwd()) or ""
    tags = {
        DIRECTORY_TAG: str(directory),
        "mlflow.user": provenance.user(),
        "mlflow.source.name": sys.argv[0],
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit.removesuffix("-dirty"),
        "hybridopt.uncommitted": "files were changed since the commit" if commit.endswith("-dirty") else "",
        "mlflow.parentRunId": parent_run_id,
    }
    return {name: value for name, value in tags.items() if value}


def find_directory(run_id: str, uri: str | None) -> Path:
    """The directory of an MLflow run of ours.

    Args:
        run_id: MLflow's id.
        uri: the tracking URI, None for the default.

    Raises:
        ResumeError: the run is unknown, not ours, or its directory is gone.
        TrackingError: the store cannot be reached.
    """
    client = connect(uri, create=False)
    from mlflow.exceptions import MlflowException

    uri = masked_uri(client.tracking_uri)
    try:
        noted = client.get_run(run_id).data.tags.get(DIRECTORY_TAG)
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
