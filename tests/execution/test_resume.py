"""A run that is asked to stop, and goes on: real processes. For kills, see tests/faults."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from directories import modified, wait_for
from jobs import LIMIT, SMALL

from hybridopt import run
from hybridopt.errors import ConfigError, ResumeError
from hybridopt.execution.checkpoint import FILE
from hybridopt.execution.identity import fingerprint, read_config

JOB = (
    "dataset=wine",
    "dataset.batch_size=32",
    "budget.forwards=1.5e5",
    "budget.marks=20",
    "trainer.enable_progress_bar=false",
    "tracking=none",
    "hydra.run.dir=run",
)


def start(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hybridopt", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_signals_save_and_say_how_to_go_on(
    hybridopt: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "run" / FILE
    for number, arguments in ((signal.SIGINT, JOB), (signal.SIGTERM, ["resume=run"])):
        before = modified(checkpoint)
        process = start(tmp_path, *arguments)
        wait_for(checkpoint, process, before)
        process.send_signal(number)
        said = process.communicate(timeout=LIMIT)[1]
        assert process.returncode == 128 + number
        assert f"to go on, type: hybridopt resume={tmp_path / 'run'}" in said
    finished = hybridopt("resume=run")
    assert "total" in finished.stdout
    again = hybridopt("resume=run")  # of a finished run: the table, and nothing is trained
    assert finished.stdout == again.stdout


def test_a_job_is_run_again_by_its_own_config(tmp_path: Path) -> None:
    settings = ("strategy=adam", "strategy.lr=0.02", "seed=4", "budget.forwards=2e3")
    first = run(*SMALL, *settings, directory=tmp_path / "first")
    again = run(f"rerun={tmp_path / 'first'}", "tracking=none", directory=tmp_path / "again")
    assert again.summary["final/val/loss"] == first.summary["final/val/loss"]
    assert fingerprint(read_config(tmp_path / "again")) == fingerprint(read_config(tmp_path / "first"))
    assert read_config(tmp_path / "again").get("rerun") is None
    with pytest.raises(ConfigError, match=r"has its own config: leave out seed=5"):
        run(f"rerun={tmp_path / 'first'}", "seed=5")
    with pytest.raises(ResumeError, match="There is no run"):
        run(f"rerun={tmp_path}")
