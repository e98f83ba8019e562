"""What an MLflow store holds, and waiting for it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from jobs import LIMIT


def client(uri: str):
    from mlflow import MlflowClient

    return MlflowClient(uri)


def steps(uri: str, run_id: str, name: str) -> list[int]:
    """The steps of a metric in MLflow, in order."""
    return sorted(point.step for point in client(uri).get_metric_history(run_id, name))


def points(store: Path) -> dict[str, int]:
    """How many metric points the store has of each run that has a parent."""
    query = (
        "select metrics.run_uuid, count(*) from metrics join tags on tags.run_uuid = metrics.run_uuid "
        "where tags.key = 'mlflow.parentRunId' group by metrics.run_uuid"
    )
    with closing(sqlite3.connect(store)) as database:
        return dict(database.execute(query).fetchall())


def wait_until(holds: Callable[[], bool], seconds: float = LIMIT) -> None:
    """Return when ``holds()``, fail after ``seconds``."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
