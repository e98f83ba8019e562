"""How long the report on a sweep of many runs takes.

    python scripts/benchmarks/bench_report.py
    python scripts/benchmarks/bench_report.py --runs 200

The runs are made up, in a SQLite store in a temporary folder: 50 marks with four metrics each, 100 parameters.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from hybridopt.report.make import make_report
from hybridopt.tracking.store import ensure_experiment, prepare_store

MARKS = 50
STRATEGIES, DATASETS = 10, 5


def make(uri: str, runs: int) -> None:
    """A sweep of this many runs."""
    client = MlflowClient(uri)
    experiment = ensure_experiment(client, "hybridopt")
    kind = {"hybridopt.kind": "sweep", "hybridopt.sweep": "timed"}
    parent = client.create_run(experiment, tags=kind, run_name="sweep timed").info.run_id
    draws = np.random.default_rng(0)
    for number in range(runs):
        one(client, experiment, parent, number, draws)


def one(client: MlflowClient, experiment: str, parent: str, number: int, draws: np.random.Generator) -> None:
    """One finished run."""
    strategy, rest = number % STRATEGIES, number // STRATEGIES
    named = {"strategy": f"s{strategy}", "dataset": f"d{rest % DATASETS}", "seed": rest // DATASETS, "sweep": "timed"}
    tags = {f"hybridopt.{name}": str(value) for name, value in named.items()}
    tags |= {"mlflow.parentRunId": parent, "hybridopt.fingerprint": str(number)}
    tags |= {"hybridopt.directions": json.dumps({"val/accuracy": True})}
    run_id = client.create_run(experiment, tags=tags, run_name=f"s{strategy}").info.run_id
    final = 0.9 + strategy / 200 + draws.normal() / 100
    points = [
        Metric(name, value, 0, 1000 * mark)
        for mark in range(1, MARKS + 1)
        for name, value in (
            ("val/accuracy", final * (1 - 0.5 / mark)),
            ("val/loss", 1 / mark),
            ("val/f1", final),
            ("cost/seconds", mark / 10),
        )
    ]
    points += [Metric("test/accuracy", final, 0, 50_000), Metric("cost/forwards", 50_000, 0, 50_000)]
    client.log_batch(run_id, metrics=points, tags=[RunTag("hybridopt.code", "1")], synchronous=True)
    client.log_batch(run_id, params=[Param(f"p{index}", "1") for index in range(99)], synchronous=True)
    client.log_param(run_id, "budget.forwards", "50000.0")
    client.set_terminated(run_id)


def main() -> None:
    """Make the runs, report on them, and tell the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        uri = prepare_store(f"sqlite:///{folder}/mlflow.db")
        started = time.perf_counter()
        make(uri, runs)
        made = time.perf_counter()
        make_report(uri, "timed", out=Path(folder) / "report")
        print(f"{runs} runs were made in {made - started:.0f} s and reported on in {time.perf_counter() - made:.1f} s")


if __name__ == "__main__":
    main()
