"""The tracker over a real MLflow server that goes away and comes back."""

import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs import LIMIT

from hybridopt.errors import ResumeError
from hybridopt.tracking.delivery import deliver_leftovers
from hybridopt.tracking.identity import find_directory
from hybridopt.tracking.journal import read_delivered
from hybridopt.tracking.lines import JOURNAL
from hybridopt.tracking.tracker import Tracker, open_tracker

pytestmark = [
    pytest.mark.slow,
    # MLflow 3.17's own models use a loader strategy that SQLAlchemy 2.1 deprecates; said when they are imported.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]


class Server:
    """An MLflow server on a free port, in a process group of its own."""

    def __init__(self, directory: Path):
        self.directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Return when it answers."""
        store = ["--backend-store-uri", f"sqlite:///{self.directory}/mlflow.db"]
        artifacts = ["--artifacts-destination", str(self.directory / "artifacts")]
        address = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *store, *artifacts, *address],
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        end = time.monotonic() + LIMIT
        while not self.answers():
            assert self.process.poll() is None, "the server has died"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(self.uri + "/health", timeout=2).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Kill the whole group, where there is one."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def running(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    shutil.copy(template, server.directory / "mlflow.db")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(running: Server) -> Server:
    if running.process is None:
        running.start()
    return running


@pytest.fixture
def tracker(server: Server, tmp_path: Path) -> Tracker:
    return open_tracker(settings(server), tmp_path / "run", run_name="a")


def settings(server: Server) -> dict:
    return {"name": "mlflow", "uri": server.uri, "experiment": "hybridopt", "log_model": False}


def steps(server: Server, run_id: str) -> list[int]:
    """The steps of train/loss in MLflow, in order."""
    from mlflow import MlflowClient

    return sorted(point.step for point in MlflowClient(server.uri).get_metric_history(run_id, "train/loss"))


def log_and_time(tracker: Tracker, first: int, count: int) -> list[float]:
    """Log ``count`` steps over about 4 ms each; the seconds that each call took, sorted."""
    seconds = []
    for step in range(first, first + count):
        begin = time.perf_counter()
        tracker.log_metrics({"train/loss": 1 / (step + 1), "val/loss": 0.5}, step)
        seconds.append(time.perf_counter() - begin)
        time.sleep(0.004)
    return sorted(seconds)


def test_everything_arrives_at_a_server(server: Server, tracker: Tracker) -> None:
    from mlflow import MlflowClient

    (tracker.directory / "plot.txt").write_text("a plot")
    tracker.log_params({f"p{i}": i for i in range(250)} | {"empty": ""})
    tracker.log_metrics({"odd": math.nan, "inf": math.inf, "precision@5": 1.0}, step=1)
    tracker.log_artifact(tracker.directory / "plot.txt", "plots")
    log_and_time(tracker, 0, 50)
    assert tracker.finish("FAILED") == 0
    client = MlflowClient(server.uri)
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FAILED"
    assert len(run.data.params) == 251
    assert math.isnan(run.data.metrics["odd"])
    assert "inf" not in run.data.metrics
    assert run.data.metrics["precision_5"] == 1
    assert steps(server, tracker.run_id) == list(range(50))
    assert [file.path for file in client.list_artifacts(tracker.run_id, "plots")] == ["plots/plot.txt"]
    assert find_directory(tracker.run_id, server.uri) == tracker.directory
    assert tracker.url.startswith(f"{server.uri}/#/experiments/")
    with pytest.raises(ResumeError, match="There is no run 'nonsense' in http:"):
        find_directory("nonsense", server.uri)


def test_a_server_that_goes_away_and_comes_back_loses_and_doubles_nothing(
    server: Server, tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    log_and_time(tracker, 0, 200)
    while not read_delivered(tracker.directory):
        time.sleep(0.05)
    server.stop()
    away = log_and_time(tracker, 200, 1500)
    assert read_delivered(tracker.directory) < (tracker.directory / JOURNAL).stat().st_size
    server.start()
    back = log_and_time(tracker, 1700, 300)
    assert tracker.finish("FINISHED") == 0
    assert steps(server, tracker.run_id) == list(range(2000))
    for seconds in (away, back):
        assert seconds[len(seconds) // 2] < 0.002
        assert seconds[-1] < 1.5  # hiccups of a shared machine; a blocking client would take 10 seconds and more
    assert caplog.text.count("does not take what run") == 1
    assert "urllib3" not in caplog.text


def test_a_run_that_ends_while_the_server_is_away_is_delivered_later(server: Server, tracker: Tracker) -> None:
    server.stop()
    log_and_time(tracker, 0, 300)
    begin = time.monotonic()
    left = tracker.finish("FINISHED")
    assert left == 301  # the status too
    assert time.monotonic() - begin < 60
    assert deliver_leftovers(tracker.directory) == left
    server.start()
    assert deliver_leftovers(tracker.directory) == 0
    assert steps(server, tracker.run_id) == list(range(300))


def test_a_server_that_hangs_holds_nobody_up(server: Server, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    os.killpg(server.process.pid, signal.SIGSTOP)
    try:
        assert log_and_time(tracker, 0, 500)[-1] < 1.5  # the request alone would take two seconds
        begin = time.monotonic()
        assert tracker.finish("FINISHED") == 501
        assert time.monotonic() - begin < 60
    finally:
        os.killpg(server.process.pid, signal.SIGCONT)
    assert deliver_leftovers(tracker.directory) == 0
    assert steps(server, tracker.run_id) == list(range(500))
