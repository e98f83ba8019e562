"""Points that are written to SQLite's tables at once are what MLflow would have written one by one."""

from __future__ import annotations

import math
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric

from hybridopt.tracking.delivery import deliver_leftovers
from hybridopt.tracking.journal import DELIVERED
from hybridopt.tracking.tables import Point, Tables
from hybridopt.tracking.tracker import open_tracker

POINTS = [
    Point("a", 1.0, 5, 1),
    Point("a", 2.0, 5, 1),  # of two at one step and time the larger one is the latest
    Point("a", -3.0, 4, 1),
    Point("b", math.nan, 1, 7),
    Point("b", 0.0, 1, 6),
    Point("c", 1e300, 2**40, 2**40),
]


def told(client: MlflowClient, run_id: str) -> str:
    """All that MLflow says of a run's metrics."""
    latest = client.get_run(run_id).data.metrics
    histories = {name: sorted(map(repr, map(dict, client.get_metric_history(run_id, name)))) for name in "abc"}
    return repr((sorted(latest.items()), histories)).replace(run_id, "")


def test_tables_hold_the_same(settings: dict, tmp_path: Path) -> None:
    trackers = [open_tracker(settings, tmp_path / name, run_name=name) for name in ("one", "other")]
    for tracker in trackers:
        tracker.finish("FINISHED")
    client = MlflowClient(settings["uri"])
    tables = Tables.of(client)
    one, other = (tracker.run_id for tracker in trackers)
    for some in (POINTS[3:], POINTS[:2], POINTS[2:4]):  # twice, and out of order
        client.log_batch(one, metrics=[Metric(*point) for point in some])
        assert tables.add_points(other, some)
    assert told(client, one) == told(client, other)
    client.delete_run(other)
    assert not tables.add_points(other, POINTS)


def test_what_is_delivered_again_is_there_once(settings: dict, tmp_path: Path) -> None:
    tracker = open_tracker(settings, tmp_path / "run", run_name="a")
    for step in range(3000):
        tracker.log_metrics({"a": step, "b": math.nan, "c": 1}, step)
    assert tracker.finish("FINISHED") == 0
    client = MlflowClient(settings["uri"])
    before = told(client, tracker.run_id)
    (tmp_path / "run" / DELIVERED).unlink()
    assert deliver_leftovers(tmp_path / "run") == 0
    assert told(client, tracker.run_id) == before
    assert len(client.get_metric_history(tracker.run_id, "b")) == 3000
