"""Jobs on digits, as anybody would run them: in sweeps of a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

SCALE = 1e7  # forwards of a run, unless it says otherwise


def sweep(overrides: list[str], seeds: int, metric: str = "test/accuracy") -> dict[int, dict[str, float]]:
    """Seed -> the summary of its run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hybridopt", "-m", *overrides, f"seeds={seeds}", "tracking=none"]
        command += [f"hydra.sweep.dir={folder}", "trainer.enable_progress_bar=false", "sweep.report=false"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
        found = {}
        for path in Path(folder).glob("*/result.json"):
            lines = (path.parent / "journal.jsonl").read_text(encoding="utf-8").splitlines()
            params = next(row["values"] for row in map(json.loads, lines) if row["kind"] == "params")
            found[int(params["seed"])] = json.loads(path.read_text(encoding="utf-8"))["summary"]
        if len(found) != seeds or any(metric not in summary for summary in found.values()):
            raise SystemExit(f"{' '.join(command)} left {len(found)} results of {seeds}.")
        return found


def test_accuracies(overrides: list[str], seeds: int) -> list[float]:
    """Test accuracy by seed, in the order of the seeds."""
    return [summary["test/accuracy"] for _, summary in sorted(sweep(overrides, seeds).items())]


def command(overrides: list[str], seeds: int) -> str:
    """What a user types for it."""
    return " ".join(["hybridopt -m", *(f"'{part}'" if "[" in part else part for part in overrides), f"seeds={seeds}"])
