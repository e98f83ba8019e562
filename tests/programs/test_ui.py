"""The server of hybridopt-ui: it answers on, ends with the program, and nobody reads its store in the process list."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from jobs import LIMIT

from hybridopt.errors import TrackingError
from hybridopt.programs import ui

STARTER = """
import sys, time
from hybridopt.programs import ui
ui._wait = lambda *_: None
ui.PATIENCE = 1
with ui.serving("sqlite:///SECRET.db", 0) as (_, server):
    print(server.pid, flush=True)
    time.sleep(600)
"""
# A server with a worker that shrugs off SIGTERM, in MLflow's place.
SERVER = """
import os, signal, subprocess, sys, time
assert os.environ["MLFLOW_BACKEND_STORE_URI"] == "sqlite:///SECRET.db"
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]
subprocess.Popen(child)
time.sleep(600)
"""


def members(group: int) -> list[str]:
    """The command lines of the processes in a group."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append((place / "cmdline").read_text())
        except (OSError, ValueError):
            continue
    return found


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + min(LIMIT, 120)
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


# A server that notes each request, as MLflow's does, in its place: 64 KB are 250 of these lines.
TALKATIVE = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        print("x" * 256, flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


def test_a_server_that_says_much_answers_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_by(TALKATIVE, tmp_path, monkeypatch)
    port = ui.free_port(0)
    with ui.serving("sqlite:///x.db", port), closing(HTTPConnection(ui.HOST, port, timeout=min(LIMIT, 120))) as client:
        for _ in range(2000):
            client.request("GET", "/")
            assert client.getresponse().read() == b""


def test_a_server_that_does_not_start_is_told_by_its_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_by("print('x' * 100_000); print(); raise SystemExit('no such table: runs')", tmp_path, monkeypatch)
    with (
        pytest.raises(TrackingError, match=r"^MLflow's server does not start: no such table: runs\.$"),
        ui.serving("sqlite:///x.db", ui.free_port(0)),
    ):
        pass


def serve_by(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a module of this code is what serves, in MLflow's place."""
    (folder / "mlflow.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_ends_with_the_program(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "mlflow.py").write_text(SERVER)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    starter = STARTER.replace("from hybridopt", "sys.path.pop(1)\nfrom hybridopt", 1)
    program = subprocess.Popen(
        [sys.executable, "-c", starter], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    group = int(program.stdout.readline())
    wait_until(lambda: len(members(group)) == 3)  # guard, server, worker
    assert not [command for command in members(group) if "SECRET" in command]
    program.send_signal(number)
    program.wait(LIMIT)
    program.stdout.close()
    wait_until(lambda: not members(group))
