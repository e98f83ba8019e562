"""A run that is asked to stop, and goes on: real processes, a real store. For kills, see tests/faults."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from directories import wait_for
from jobs import LIMIT

from hybridopt.execution.checkpoint import FILE

JOB = (
    "dataset=wine",
    "dataset.batch_size=32",
    "budget.forwards=1.5e5",
    "budget.marks=20",
    "trainer.enable_progress_bar=false",
    "tracking.log_model=false",
)
Program = Callable[..., subprocess.CompletedProcess[str]]


def start(cwd: Path, directory: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "hybridopt", *JOB, f"hydra.run.dir={directory}"]
    return subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(number: signal.Signals, hybridopt: Program, tmp_path: Path) -> None:
    process = start(tmp_path, "stopped")
    wait_for(tmp_path / "stopped" / FILE, process)
    process.send_signal(number)
    assert process.wait(timeout=LIMIT) == 128 + number
    finished = hybridopt("resume=stopped")
    assert "100%" in finished.stderr or "total" in finished.stdout
    if number == signal.SIGINT:
        again = hybridopt("resume=stopped")  # of a finished run: the table, and nothing is trained
        assert finished.stdout == again.stdout
