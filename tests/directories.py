"""What is in the directories of runs: when it comes, and whether two runs left the same."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import torch

from hybridopt.execution.checkpoint import FILE


def curve(directory: Path) -> list[dict[str, float]]:
    """What the journal says of validation and training losses, without what depends on the clock."""
    rows = [json.loads(line) for line in (directory / "journal.jsonl").read_text().splitlines()]
    points = [(row["step"], row["values"]) for row in rows if row["kind"] == "metrics"]
    timed = ("cost/seconds", "cost/wall_seconds", "cost/peak_memory_mb")
    return [
        {"step": step} | {name: value for name, value in values.items() if name not in timed} for step, values in points
    ]


def weights(directory: Path) -> dict[str, torch.Tensor]:
    state = torch.load(directory / FILE, weights_only=True)["state_dict"]
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def assert_same(one: Path, other: Path) -> None:
    assert curve(one) == curve(other)
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def modified(file: Path) -> int:
    """When the file was written, in nanoseconds; 0 where there is none."""
    return file.stat().st_mtime_ns if file.exists() else 0


def wait_for(file: Path, process: subprocess.Popen, before: int = 0) -> None:
    """Until the file was written after it was ``before``, or the process has ended."""
    while process.poll() is None and modified(file) == before:
        time.sleep(0.002)
