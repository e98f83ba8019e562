"""Sweeps over real processes: launchers that write to one fresh store, and a kill in the middle."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from jobs import LIMIT
from stored import points

pytestmark = pytest.mark.slow

QUICK = ["dataset=iris", "dataset.batch_size=16", "model.hidden=[4]", "budget.marks=10", "tracking.log_model=false"]


def reported(sweep: Path) -> dict[str, int]:
    """How many finite metric points the journals of a sweep's jobs hold, by run; a repeated point counts once."""
    counts = {}
    for identity in sweep.glob("*/run.json"):
        lines = map(json.loads, (identity.parent / "journal.jsonl").read_text().splitlines())
        seen = {
            (name, line["step"], line["time"], value)
            for line in lines
            if line["kind"] == "metrics"
            for name, value in line["values"].items()
            if value not in ("inf", "-inf")
        }
        counts[json.loads(identity.read_text())["run_id"]] = len(seen)
    return counts


def test_a_killed_launcher_leaves_no_workers_and_loses_what_came_after_the_last_marks_only(
    hybridopt: Callable, tmp_path: Path
) -> None:
    command = ["-m", *QUICK, "strategy=openai_es", "seeds=2", "budget.forwards=3e6", "sweep.name=killed"]
    command += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(
        [sys.executable, "-m", "hybridopt", *command], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    folder = tmp_path / "multirun" / "killed"
    deadline = time.monotonic() + LIMIT
    while len(list(folder.glob("*/checkpoints/last.ckpt"))) < 2:
        assert running.poll() is None, "the sweep ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers = psutil.Process(running.pid).children(recursive=True)
    assert len(workers) >= 2
    running.kill()
    running.wait()
    left = psutil.wait_procs(workers, timeout=60)[1]
    assert left == []
    assert not list(folder.glob("*/result.json"))
    done = hybridopt(*command)
    assert "2 jobs: 2 resumed" in done.stdout
    assert len(points(tmp_path / "mlflow.db")) == 2
    assert points(tmp_path / "mlflow.db") == reported(folder)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    (parent,) = sqlite3.connect(tmp_path / "mlflow.db").execute(
        "select status from runs join tags on tags.run_uuid = runs.run_uuid where key = 'hybridopt.kind'"
    )
    assert parent == ("FINISHED",)
