"""A tracking server that is slow, or fails most of what it is asked: in this process, with the answers of a start."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from hybridopt.tracking import patience, store
from hybridopt.tracking.delivery import undelivered
from hybridopt.tracking.tracker import open_tracker

INFO = {"run_id": "a" * 32, "experiment_id": "1", "status": "RUNNING", "lifecycle_stage": "active", "start_time": 0,
        "artifact_uri": "mlflow-artifacts:/a", "run_name": "a"}  # fmt: skip
ANSWERS = {"experiments": {"experiment": {"experiment_id": "1", "name": "hybridopt", "lifecycle_stage": "active"}},
           "runs": {"run": {"info": INFO, "data": {}}}}  # fmt: skip


class Bad(http.server.BaseHTTPRequestHandler):
    """Two of three requests fail, and one of these is cut off; later each answer takes its time."""

    protocol_version = "HTTP/1.1"
    faults: Iterator[str] = iter(())
    slow = 0.0
    asked: list[str]

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        type(self).asked.append(self.path)
        time.sleep(self.slow)
        fault = next(type(self).faults)
        if fault == "cut":
            self.close_connection = True
            return
        kind = next((kind for kind in ANSWERS if f"/{kind}/" in self.path), "")
        body = json.dumps(ANSWERS.get(kind, {})).encode()
        self.send_response(500 if fault == "500" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def bad() -> Iterator[Any]:
    """The address of such a server, and what makes it so."""
    handler = type("Handler", (Bad,), {"faults": cycle(["cut", "500", "fine"]), "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()


def test_a_start_survives_and_the_end_has_its_patience(
    bad: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (patience, store):
        monkeypatch.setattr(module, "PAUSES", (0.01,) * 5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri, handler = bad
    settings = {"name": "mlflow", "uri": uri, "experiment": "hybridopt", "patience": 1.0}
    tracker = open_tracker(settings, tmp_path / "run", run_name="a")
    assert tracker.run_id == INFO["run_id"]
    handler.faults, handler.slow = cycle(["fine"]), 0.4  # each call succeeds in the end: there are too many of them
    for number in range(20):
        tracker.log_input({"name": f"d{number}", "digest": "x", "source_type": "x", "source": "x"}, "training")
    began = time.monotonic()
    left = tracker.finish("FINISHED")
    assert 1.0 <= time.monotonic() - began < 1.5
    assert 0 < left <= undelivered(tmp_path / "run") + 1
    time.sleep(0.8)
    calls = len(handler.asked)
    time.sleep(0.8)
    assert len(handler.asked) == calls, "nobody asks any more"


def test_what_a_server_refuses_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE

    calls = []

    def refuse() -> None:
        calls.append(1)
        raise MlflowException("no", error_code=INVALID_PARAMETER_VALUE if len(calls) == 1 else INTERNAL_ERROR)

    monkeypatch.setattr(patience, "PAUSES", (0.0, 0.0))
    for number in (1, 4):
        with pytest.raises(MlflowException):
            patience._repeated(refuse)
        assert len(calls) == number
