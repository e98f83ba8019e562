"""How long the report on a sweep of many runs takes.

    python scripts/benchmarks/bench_report.py
    python scripts/benchmarks/bench_report.py --runs 200

The runs are made up, in a SQLite store in a temporary folder: 50 marks with four metrics each, 100 parameters.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from hybridopt.report.make import make_report
from hybridopt.tracking.store import ensure_experiment, prepare_store, sqlite_path

MARKS = 50
STRATEGIES, DATASETS = 10, 5
TABLES = ("runs", "metrics", "latest_metrics", "params", "tags")


def make(uri: str, runs: int) -> None:
    """A sweep of this many runs: one is reported as any run, the others are its rows with other values."""
    client = MlflowClient(uri)
    experiment = ensure_experiment(client, "hybridopt")
    kind = {"hybridopt.kind": "sweep", "hybridopt.sweep": "timed"}
    parent = client.create_run(experiment, tags=kind, run_name="sweep timed").info.run_id
    first = one(client, experiment, parent)
    draws = np.random.default_rng(0)
    with closing(sqlite3.connect(str(sqlite_path(uri)))) as database:
        rows = {table: rows_of(database, table, first) for table in TABLES}
        for number in range(1, runs):
            scale = 0.9 + number % STRATEGIES / 200 + draws.normal() / 100
            for table, (names, found) in rows.items():
                changed = [changed_row(dict(zip(names, row, strict=True)), table, number, scale) for row in found]
                database.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(names))})", changed)
        database.commit()


def rows_of(database: sqlite3.Connection, table: str, run_id: str) -> tuple[list[str], list[tuple]]:
    """Names and values of the columns that one run has in a table."""
    found = database.execute(f"SELECT * FROM {table} WHERE run_uuid = ?", (run_id,))
    return [column[0] for column in found.description], found.fetchall()


def changed_row(row: dict, table: str, number: int, scale: float) -> tuple:
    """The row of another run: its id, its tags, and its values."""
    row["run_uuid"] = f"{number:032x}"
    if table == "tags":
        row["value"] = tags(number).get(row["key"], row["value"])
    elif table in ("metrics", "latest_metrics") and row["key"].endswith("accuracy"):
        row["value"] *= scale
    return tuple(row.values())


def tags(number: int) -> dict[str, str]:
    """What tells a run from the others."""
    strategy, rest = number % STRATEGIES, number // STRATEGIES
    named = {"strategy": f"s{strategy}", "dataset": f"d{rest % DATASETS}", "seed": rest // DATASETS, "sweep": "timed"}
    return {f"hybridopt.{name}": str(value) for name, value in named.items()} | {"hybridopt.fingerprint": str(number)}


def one(client: MlflowClient, experiment: str, parent: str) -> str:
    """One finished run."""
    more = {"mlflow.parentRunId": parent, "hybridopt.directions": json.dumps({"val/accuracy": True})}
    run_id = client.create_run(experiment, tags=tags(0) | more, run_name="s0").info.run_id
    points = [
        Metric(name, value, 0, 1000 * mark)
        for mark in range(1, MARKS + 1)
        for name, value in (
            ("val/accuracy", 1 - 0.5 / mark),
            ("val/loss", 1 / mark),
            ("val/f1", 0.9),
            ("cost/seconds", mark / 10),
        )
    ]
    points += [Metric("test/accuracy", 1, 0, 50_000), Metric("cost/forwards", 50_000, 0, 50_000)]
    client.log_batch(run_id, metrics=points, tags=[RunTag("hybridopt.code", "1")], synchronous=True)
    client.log_batch(run_id, params=[Param(f"p{index}", "1") for index in range(99)], synchronous=True)
    client.log_param(run_id, "budget.forwards", "50000.0")
    client.set_terminated(run_id)
    return run_id


def main() -> None:
    """Make the runs, report on them, and tell the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        uri = prepare_store(f"sqlite:///{folder}/mlflow.db")
        started = time.perf_counter()
        make(uri, runs)
        made, before = time.perf_counter(), time.process_time()
        make_report(uri, "timed", out=Path(folder) / "report")
        spent, wall = time.process_time() - before, time.perf_counter() - made
        print(f"{runs} runs made in {made - started:.0f} s; report in {wall:.1f} s, {spent:.1f} s of CPU")


if __name__ == "__main__":
    main()
