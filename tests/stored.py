"""What an MLflow store holds, and waiting for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from jobs import LIMIT


def client(uri: str):
    from mlflow import MlflowClient

    return MlflowClient(uri)


def steps(uri: str, run_id: str, name: str) -> list[int]:
    """The steps of a metric in MLflow, in order."""
    return sorted(point.step for point in client(uri).get_metric_history(run_id, name))


def wait_until(holds: Callable[[], bool], seconds: float = LIMIT) -> None:
    """Return when ``holds()``, fail after ``seconds``."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
