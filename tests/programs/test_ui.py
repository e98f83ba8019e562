"""The server of hybridopt-ui: it ends with the program, and nobody reads its store in the list of processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from jobs import LIMIT

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
