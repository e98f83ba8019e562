"""A run that is killed, and goes on: real processes, a real store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from directories import assert_same, wait_for
from jobs import LIMIT

from hybridopt.execution.checkpoint import FILE

JOB = (
    "dataset=wine",
    "dataset.batch_size=32",
    "budget.forwards=3e5",
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
def test_killed_it_ends_with_the_same_numbers(hybridopt: Program, tmp_path: Path) -> None:
    hybridopt(*JOB, "hydra.run.dir=whole")
    directory = tmp_path / "killed"
    process = start(tmp_path, "killed")
    wait_for(directory / FILE, process, modified=5)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it must not have finished before it was killed"
    resumed = hybridopt("resume=killed")
    assert "total" in resumed.stdout
    assert_same(tmp_path / "whole", directory)
    assert_tracked_once(tmp_path)


def assert_tracked_once(directory: Path) -> None:
    """Two runs, both finished, and every validation point of the killed one is there exactly once."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{directory / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("hybridopt").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    curves = [
        sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, "val/loss"))
        for run in runs
    ]
    assert curves[0] == curves[1]
    steps = [step for step, _ in curves[0]]
    assert len(steps) == len(set(steps)) >= 20


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
