"""What a sweep costs besides its jobs, against the same loop written by hand.

    python scripts/benchmarks/bench_sweep.py
    python scripts/benchmarks/bench_sweep.py --jobs 20 --repetitions 5

Small jobs (iris, Adam, ten marks) run in one process, tracked in SQLite without the network as an MLflow model. By hand
means: compose the config, build the parts, fit and test with Lightning's Trainer; no tracking, no checkpoints.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
import time

import torch
from pytorch_lightning import Trainer

from hybridopt import Budget, Trial
from hybridopt.composition import building
from hybridopt.composition.compose import compose
from hybridopt.execution.runtime import quiet
from hybridopt.programs import run as cli

JOB = ["dataset=iris", "model.hidden=[8]", "strategy=adam", "budget.forwards=2e4", "budget.marks=10"]
TRACKED = ["tracking=mlflow", "tracking.log_model=false"]
UNTRACKED = ["tracking=none"]


def by_sweep(seeds: int, tracking: list[str]) -> float:
    """Seconds of a sweep over the seeds, in a directory of its own."""
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(folder)
        sys.argv = ["hybridopt", "-m", *JOB, *tracking, f"seeds={seeds}", "sweep.report=false"]
        try:
            started = time.perf_counter()
            with contextlib.redirect_stderr(io.StringIO()):
                cli.main()
            return time.perf_counter() - started
        finally:
            os.chdir(here)


def by_hand(seeds: int) -> float:
    """Seconds of a loop that trains the same networks on the same data."""
    started = time.perf_counter()
    for seed in range(seeds):
        config = compose(*JOB, f"seed={seed}")
        torch.manual_seed(seed)
        data = building.build("dataset", dict(config.dataset))
        model = building.build("model", dict(config.model), spec=data.spec)
        objective = building.build("objective", dict(config.objective), spec=data.spec)
        strategy = building.build("strategy", dict(config.strategy), spec=data.spec)
        budget = Budget(forwards=config.budget.forwards, marks=config.budget.marks)
        trial = Trial(model, objective, strategy, budget, seed=seed, spec=data.spec)
        settings = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
        with quiet(), contextlib.redirect_stdout(io.StringIO()):
            trainer = Trainer(**Trial.trainer_settings, **settings, enable_progress_bar=False)
            trainer.fit(trial, datamodule=data)
            trainer.test(trial, datamodule=data, verbose=False)
    return time.perf_counter() - started


def main() -> None:
    """Repeat both, and tell the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--repetitions", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    by_hand(1), by_sweep(1, TRACKED)  # imports are not a job's
    ways = {
        "by hand": lambda: by_hand(chosen.jobs),
        "sweep, tracking=none": lambda: by_sweep(chosen.jobs, UNTRACKED),
        "sweep, tracking=mlflow": lambda: by_sweep(chosen.jobs, TRACKED),
        "sweep of one job, tracking=mlflow": lambda: by_sweep(1, TRACKED),
    }
    taken = {name: [way() for _ in range(chosen.repetitions)] for name, way in ways.items()}
    found = {name: statistics.median(seconds) for name, seconds in taken.items()}
    hand = found["by hand"] / chosen.jobs
    print(f"by hand: {hand:.3f} s a job")
    for name in list(ways)[1:3]:
        print(f"{name}: {found[name] / chosen.jobs:.3f} s a job, {found[name] / chosen.jobs - hand:+.3f}")
    rest = (found["sweep, tracking=mlflow"] - found["sweep of one job, tracking=mlflow"]) / (chosen.jobs - 1)
    print(f"each further job, tracking=mlflow: {rest:.3f} s, {rest - hand:+.3f} to one by hand")
    print(f"medians of {chosen.repetitions}, {chosen.jobs} jobs; each sweep has a new store")


if __name__ == "__main__":
    main()
