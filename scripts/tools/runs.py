"""Sweeps in a process of their own, as anybody would run them, and what their jobs leave."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """A finished job.

    Args:
        strategy: its name.
        seed: its seed.
        summary: its summary metrics.
        curve: validation accuracy, as (forwards, accuracy).
    """

    strategy: str
    seed: int
    summary: dict[str, float]
    curve: list[tuple[int, float]]


def sweep(overrides: list[str], shown: bool = False) -> list[Run]:
    """Run a Hydra multirun without tracking, and read its jobs.

    Args:
        overrides: what a user types after ``hybridopt -m``.
        shown: whether the sweep's bar is.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hybridopt", "-m", *overrides, "tracking=none", "sweep.report=false"]
        command += [f"hydra.sweep.dir={folder}"]
        stderr = None if shown else subprocess.PIPE
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=stderr, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{(done.stderr or '')[-2000:]}")
        return [read(path) for path in sorted(Path(folder).glob("*/result.json"))]


def read(result: Path) -> Run:
    """One job, by its ``result.json``."""
    journal = (result.parent / "journal.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in journal.splitlines()]
    params = next(line["values"] for line in lines if line["kind"] == "params")
    points = [(line["step"], line["values"].get("val/accuracy")) for line in lines if line["kind"] == "metrics"]
    curve = [(step, value) for step, value in points if value is not None]
    summary = json.loads(result.read_text(encoding="utf-8"))["summary"]
    return Run(params["strategy.name"], int(params["seed"]), summary, curve)
