"""Stores and experiments: created once whoever comes first, and refused in one sentence where they cannot be used."""

import multiprocessing
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from hybridopt.errors import TrackingError
from hybridopt.tracking.store import DEFAULT_URI, ensure_experiment, prepare_store, sqlite_path
from hybridopt.tracking.tracker import open_tracker

# MLflow 3.17's own models use a loader strategy that SQLAlchemy 2.1 deprecates; said when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

PROCESSES, POINTS = 4, 200


def test_importing_the_package_is_cheap() -> None:
    heavy = "mlflow torch pytorch_lightning sqlalchemy filelock numpy"
    code = f"import sys, hybridopt.tracking.tracker; print([name for name in '{heavy}'.split() if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_the_default_is_mlflow_s_own_made_absolute(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert prepare_store(None) == prepare_store(DEFAULT_URI) == uri
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_the_environment_names_the_store(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert prepare_store(None) == uri


def test_a_fresh_store_is_complete_and_has_write_ahead_logging(template: Path) -> None:
    with closing(sqlite3.connect(template)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    assert not template.with_name("mlflow.db.new").exists()


def test_a_store_of_an_odd_name_is_found_again(template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my runs #1 50% é"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(template.read_bytes())
    quoted = f"sqlite:///{folder}/mlflow.db".replace("%", "%25")
    assert sqlite_path(prepare_store(quoted)) == folder / "mlflow.db"
    assert prepare_store(prepare_store(quoted)) == prepare_store(quoted)


@pytest.mark.parametrize("bad", ["mlruns", "file:///tmp/mlruns", "./mlruns"])
def test_folders_are_refused_with_the_uri_to_type(bad: str) -> None:
    with pytest.raises(TrackingError, match=r"no plain folders .* type tracking.uri=sqlite:///.*mlruns/mlflow.db\."):
        prepare_store(bad)


def test_a_store_in_memory_is_refused() -> None:
    with pytest.raises(TrackingError, match="gone with its process"):
        prepare_store("sqlite:///:memory:")


def test_an_unknown_kind_of_store_is_refused_in_a_sentence() -> None:
    with pytest.raises(TrackingError, match=r"cannot be opened \(.*tracking=none"):
        prepare_store("gopher://store")


def test_what_cannot_be_a_database_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("this is no database, but a text " * 100)
    begin = time.monotonic()
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "notes.txt" / "mlflow.db"):
        with pytest.raises(TrackingError, match=r"cannot be written \(.*tracking=none"):
            prepare_store(f"sqlite:///{path}")
    assert time.monotonic() - begin < 50  # MLflow itself needs 100 seconds
    assert (tmp_path / "notes.txt").read_text().startswith("this is no database")


def test_a_store_that_must_exist_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="There is no MLflow store at"):
        prepare_store(f"sqlite:///{tmp_path}/mlflow.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_another_version_is_not_migrated_unasked(uri: str) -> None:
    with closing(sqlite3.connect(sqlite_path(uri))) as database:
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
        database.commit()
    with pytest.raises(TrackingError, match="back it up and type mlflow db upgrade sqlite:"):
        prepare_store(uri)


def test_a_server_that_is_not_there_is_reported_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begin = time.monotonic()
    with pytest.raises(TrackingError, match=rf"{port} does not answer .*tracking=none"):
        prepare_store(f"http://127.0.0.1:{port}")
    assert time.monotonic() - begin < 50


def test_a_server_that_never_answers_is_left_after_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybridopt.tracking.store.SERVER_PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as deaf, pytest.raises(TrackingError, match="does not answer"):
        prepare_store(f"http://127.0.0.1:{deaf.getsockname()[1]}")


def test_an_experiment_lies_beside_the_database(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = ensure_experiment(client, "team/first try")
    assert ensure_experiment(client, "team/first try") == found
    assert client.get_experiment(found).artifact_location == (tmp_path / "mlruns" / "team_first_try").as_uri()


def test_a_deleted_experiment_is_not_restored_silently(uri: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = ensure_experiment(client, "gone")
    client.delete_experiment(found)
    with pytest.raises(TrackingError, match=f"'gone' was deleted: .* restore --experiment-id {found}"):
        ensure_experiment(client, "gone")


def test_an_experiment_is_created_once_by_many(uri: str) -> None:
    from mlflow import MlflowClient

    client, found = MlflowClient(uri), []
    threads = [threading.Thread(target=lambda: found.append(ensure_experiment(client, "one"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def _run(uri: str, directory: Path) -> None:
    settings = {"name": "mlflow", "uri": uri, "experiment": "together", "log_model": False}
    tracker = open_tracker(settings, directory, run_name=directory.name)
    for step in range(POINTS):
        tracker.log_metrics({"train/loss": 1 / (step + 1), "cost/seconds": float(step)}, step)
    if tracker.finish("FINISHED"):
        raise SystemExit(1)


@pytest.mark.slow
def test_processes_that_start_together_on_a_fresh_store_all_survive(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_run, args=(uri, tmp_path / f"run{i}")) for i in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("together").experiment_id])
    assert sorted(run.info.run_name for run in runs) == [f"run{i}" for i in range(PROCESSES)]
    for run in runs:
        assert run.info.status == "FINISHED"
        for name in ("train/loss", "cost/seconds"):
            points = client.get_metric_history(run.info.run_id, name)
            assert sorted(point.step for point in points) == list(range(POINTS))
