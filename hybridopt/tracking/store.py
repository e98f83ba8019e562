"""MLflow's stores: where runs are kept, and how a store and an experiment come into being safely.

MLflow creates a SQLite database without a lock: processes that start together break it for good. Its client waits
minutes for a server or a database that is not there. Both are settled here, before a run begins.
"""

from __future__ import annotations

import http.client
import os
import re
import sqlite3
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from hybridopt.errors import MASK, TrackingError, brief
from hybridopt.toolbox import credentials
from hybridopt.tracking.patience import CUT, PAUSES, patient

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DATABASES = ("postgresql", "mysql", "mssql")
DEFAULT_URI = "sqlite:///mlflow.db"  # MLflow's own
SERVER_PATIENCE = 5  # seconds until a server has to answer
CREATION_PATIENCE = 300  # seconds that another process may take to create a store; 2 to 12 were measured
ENVIRONMENT = {  # read by MLflow at its first import; what the user has set stays
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # with MLflow's 7, a call blocks for 246 s when the server is away
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # the making of its tables is no news
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
PAGE = 1000  # runs that a store is asked for at a time
WAY_OUT = "or type tracking=none to keep the journal in the run's directory only"


def prepare_store(uri: str | None, create: bool = True) -> str:
    """Make the store behind a tracking URI ready for any number of processes.

    A SQLite store is created where there is none, by one process at a time, and switched to write-ahead logging; an
    HTTP server has to answer within seconds.

    Args:
        uri: a tracking URI; None is ``MLFLOW_TRACKING_URI``, or ``mlflow.db`` in the current directory.
        create: whether a SQLite store may be created.

    Returns:
        The URI, absolute: it means the same in any directory. Its credentials are masked; clients find them.

    Raises:
        TrackingError: the store cannot be reached, read or written.
    """
    _set_environment()
    uri = credentials.hide(uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI)
    if MASK in uri and credentials.reveal(uri) == uri:
        raise TrackingError(
            f"The credentials of {uri} are kept nowhere: set MLFLOW_TRACKING_URI to the whole URI, or to one without "
            "them and MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )
    scheme = urlsplit(uri).scheme
    if scheme in ("", "file") and not uri.startswith("databricks"):
        raise TrackingError(
            f"MLflow writes no plain folders any more, but tracking.uri is {uri!r}: {_sqlite_hint(uri)}."
        )
    if scheme == "sqlite":
        return _prepare_sqlite(uri, create)
    if scheme in ("http", "https"):
        _check_server(uri)
        return uri.rstrip("/")
    _open(uri)
    return uri


def load(uri: str | None) -> None:
    """Import of MLflow what a store will take, at a moment that the caller chooses."""
    _set_environment()
    import mlflow

    if urlsplit(uri or "").scheme not in ("http", "https"):
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def _set_environment() -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def connect(uri: str | None, create: bool = True) -> MlflowClient:
    """A client of a store that is ready, see :func:`prepare_store`; its ``tracking_uri`` is absolute.

    Raises:
        TrackingError: the store cannot be reached, read or written.
    """
    return patient(client_of(prepare_store(uri, create)))  # which sets what MLflow reads when it is imported


def client_of(uri: str) -> MlflowClient:
    """A client of a store that this process has prepared; nothing is asked of the store."""
    from mlflow import MlflowClient

    return MlflowClient(credentials.reveal(uri))


def search_runs(client: MlflowClient, experiments: Sequence[str], wanted: str) -> Iterator[Run]:
    """All runs of some experiments that a filter of MLflow's lets through, the latest first, page by page."""
    token = None
    while True:
        page = client.search_runs(list(experiments), wanted, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def ensure_experiment(client: MlflowClient, name: str) -> str:
    """The id of the experiment called ``name``, created where there is none; safe in many processes at once.

    Raises:
        TrackingError: the experiment was deleted, or the store refuses it.
    """
    from mlflow.exceptions import MlflowException

    try:
        found: Any = client.get_experiment_by_name(name) or _create_experiment(client, name)
    except MlflowException as error:
        if error.get_http_status_code() in (401, 403):
            server = credentials.masked_uri(client.tracking_uri)
            raise TrackingError(
                f"The MLflow server {server} wants to know who you are ({brief(error)}): set "
                f"MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, {WAY_OUT}."
            ) from error
        raise TrackingError(
            f"The experiment {name!r} cannot be opened ({brief(error)}): choose another one by "
            f"tracking.experiment=<name>, {WAY_OUT}."
        ) from error
    if found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"The experiment {name!r} was deleted: choose another one by tracking.experiment=<name>, or type "
            f"mlflow experiments restore --experiment-id {found.experiment_id}."
        )
    return found.experiment_id


def sqlite_path(uri: str) -> Path | None:
    """The database file of a SQLite tracking URI, or None for any other URI."""
    from sqlalchemy import make_url  # what MLflow reads the URI with: its rules for %, ? and # hold

    if urlsplit(uri).scheme != "sqlite":
        return None
    database = make_url(uri).database
    if not database or database == ":memory:":
        raise TrackingError(
            f"A store in memory is gone with its process, but tracking.uri is {uri!r}: type tracking.uri={DEFAULT_URI}."
        )
    return Path(database).absolute()


def _prepare_sqlite(uri: str, create: bool) -> str:
    from sqlalchemy import make_url

    path = cast(Path, sqlite_path(uri))
    if not create and not path.exists():
        raise TrackingError(f"There is no MLflow store at {path}: name the store by tracking.uri=sqlite:///<file>.")
    absolute = make_url(uri).set(database=path.as_posix())
    try:
        if not _is_ready(path):
            _create_sqlite(path)
        _check_writable(path)
    except (OSError, sqlite3.Error) as error:
        raise TrackingError(
            f"The tracking database {path} cannot be written ({brief(error)}): type "
            f"tracking.uri=sqlite:///<a file in a folder of yours>, {WAY_OUT}."
        ) from error
    _open(absolute.render_as_string())
    return absolute.render_as_string()


def _create_sqlite(path: Path) -> None:
    """Create the database under another name, so that an interrupted creation leaves no partial file, and rename it."""
    from filelock import FileLock
    from sqlalchemy import URL

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=CREATION_PATIENCE):
        if not path.exists():
            new = path.with_name(path.name + ".new")
            new.unlink(missing_ok=True)
            _check_writable(new)
            _open(URL.create("sqlite", database=new.as_posix()).render_as_string())
            os.replace(new, path)
        with closing(sqlite3.connect(path, timeout=20)) as database, suppress(sqlite3.OperationalError):
            database.execute("PRAGMA journal_mode=WAL")  # stays in the file; refused by network disks and while in use


def _is_ready(path: Path) -> bool:
    """Whether the database is complete and has write-ahead logging, which is set last."""
    if not path.exists():
        return False
    with closing(sqlite3.connect(path, timeout=20)) as database:
        return database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def _check_writable(path: Path) -> None:
    """Ask SQLite itself, since MLflow takes 100 s to give up on a database that it cannot open.

    Raises:
        sqlite3.Error: it is no database, or may not be written.
    """
    with closing(sqlite3.connect(path, timeout=20)) as database:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        database.execute(f"PRAGMA user_version={version}")  # a write that changes nothing


def _ask(uri: str) -> None:
    try:
        urllib.request.urlopen(credentials.address(uri).rstrip("/") + "/health", timeout=SERVER_PATIENCE).close()
    except urllib.error.HTTPError as answer:
        answer.close()


def _check_server(uri: str) -> None:
    """Any answer will do, whatever it says: rights and certificates are the client's matter."""
    for pause in (*PAUSES, None):
        try:
            return _ask(uri)
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLError):
                return None
            if pause is None or not isinstance(reason, CUT):
                raise TrackingError(
                    f"The MLflow server {uri} does not answer ({brief(error)}): start it, choose another "
                    f"store by tracking.uri=<uri>, {WAY_OUT}."
                ) from error
            time.sleep(pause)
    return None


def _open(uri: str) -> None:
    """Have MLflow open a store, which creates a database's tables.

    Raises:
        TrackingError: MLflow cannot; the sentence quotes it.
    """
    try:
        if urlsplit(uri).scheme.partition("+")[0] in DATABASES:
            _check_database(uri)
        client_of(uri).search_experiments(max_results=1)
    except Exception as error:  # each kind of store has exceptions of its own
        if "out-of-date database schema" in str(error):
            raise TrackingError(
                f"The store {uri} was made by another version of MLflow: back it up and type "
                f"mlflow db upgrade {uri}, {WAY_OUT}."
            ) from error
        raise TrackingError(
            f"The tracking store {uri} cannot be opened ({brief(error)}): choose another one by "
            f"tracking.uri=<uri>, {WAY_OUT}."
        ) from error


def _check_database(uri: str) -> None:
    """See that a database answers: MLflow would ask again for minutes."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(credentials.reveal(uri), poolclass=sqlalchemy.NullPool)
    engine.connect().close()


def _create_experiment(client: MlflowClient, name: str):
    from mlflow.exceptions import MlflowException

    try:
        return client.get_experiment(client.create_experiment(name, _artifact_location(client.tracking_uri, name)))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return client.get_experiment_by_name(name)  # another process was faster


def _artifact_location(uri: str, name: str) -> str | None:
    """A folder beside a SQLite database, absolute; None leaves the choice to a server."""
    path = sqlite_path(uri)
    folder = re.sub(r"[^\w.-]+", "_", name)[:100]
    return None if path is None else (path.parent / "mlruns" / (folder if folder.strip(".") else "_")).as_uri()


def _sqlite_hint(uri: str) -> str:
    folder = urlsplit(uri).path.rstrip("/") or "."
    return f"type tracking.uri=sqlite:///{folder}/mlflow.db"
