"""What it costs a run to report ten thousand metric points to MLflow.

    python scripts/benchmarks/bench_tracking.py
    python scripts/benchmarks/bench_tracking.py --forwards 1e8 --repetitions 5

The same run (digits, Adam) with and without MLflow, in turn, each in a process of its own; the store is SQLite. The
points are those that the run's journal holds; the number of marks is set so that they are about ten thousand.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

POINTS_PER_MARK = 56  # validation, costs, and ten training losses with their learning rates and spread


def run(folder: Path, forwards: float, marks: int, tracking: list[str]) -> tuple[float, int]:
    """Seconds of training and reporting, and the points in the journal."""
    command = [sys.executable, "-m", "hybridopt", "strategy=adam", f"budget.forwards={forwards}", *tracking]
    command += [f"budget.marks={marks}", "trainer.enable_progress_bar=false", f"hydra.run.dir={folder}/run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    summary = json.loads((folder / "run" / "result.json").read_text())["summary"]
    lines = map(json.loads, (folder / "run" / "journal.jsonl").read_text().splitlines())
    return summary["cost/wall_seconds"], sum(len(line["values"]) for line in lines if line["kind"] == "metrics")


def main() -> None:
    """Repeat both in turn, and tell the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forwards", type=float, default=5e7)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--repetitions", type=int, default=3)
    chosen = parser.parse_args()
    marks = chosen.points // POINTS_PER_MARK
    ways = {"none": ["tracking=none"], "mlflow": ["tracking=mlflow", "tracking.log_model=false"]}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    points = 0
    for _ in range(chosen.repetitions):
        for name, tracking in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds, points = run(Path(folder), chosen.forwards, marks, tracking)
            taken[name].append(seconds)
    found = {name: statistics.median(seconds) for name, seconds in taken.items()}
    share = found["mlflow"] / found["none"] - 1
    print(f"{points} points in a run of {found['none']:.1f} s: {found['mlflow']:.1f} s with MLflow, {share:+.1%}")
    print(f"{1000 * (found['mlflow'] - found['none']) / points:.3f} ms a point; medians of {chosen.repetitions}")


if __name__ == "__main__":
    main()
