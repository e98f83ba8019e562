"""Runs read from the tables of a store that is a database.

MLflow makes an object of each row, of which a thousand runs have a hundred and fifty thousand: 10 ms a run, and 3 ms a
metric's history. Rows alone take a tenth of it. A store behind a server is asked by MLflow's client instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

SOME = 500  # runs that a query names


@dataclass
class Row:
    """A run: what MLflow has of it, as plain values."""

    run_id: str
    name: str | None
    status: str
    start: int
    experiment_id: str
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


class Tables:
    """The tables of a store.

    Args:
        store: MLflow's ``SqlAlchemyStore``.
    """

    def __init__(self, store: Any):
        self._store = store

    @classmethod
    def of(cls, client: MlflowClient) -> Tables | None:
        """The tables behind a client; None where it asks a server."""
        store = client._tracking_client.store  # the client hands on single runs and histories alone
        return cls(store) if hasattr(store, "ManagedSessionMaker") else None

    def runs(self, wanted: Mapping[str, str], experiments: Sequence[str], whole: bool = True) -> list[Row]:
        """Runs that were not deleted, the latest first.

        Args:
            wanted: tags that they have; an empty text stands for any value.
            experiments: ids of those that they are in.
            whole: whether their params and metrics are read too.
        """
        from mlflow.store.tracking.dbmodels import models
        from sqlalchemy import select

        run, tag = models.SqlRun, models.SqlTag
        columns = (run.run_uuid, run.name, run.status, run.start_time, run.experiment_id)
        asked = select(*columns).where(run.lifecycle_stage == "active")
        asked = asked.where(run.experiment_id.in_([int(each) for each in experiments]))
        for key, value in wanted.items():
            having = select(tag.run_uuid).where(tag.key == key)
            asked = asked.where(run.run_uuid.in_(having.where(tag.value == value) if value else having))
        asked = asked.order_by(run.start_time.desc(), run.run_uuid)
        with self._store.ManagedSessionMaker() as session:
            rows = [Row(i, name, status, start, str(place)) for i, name, status, start, place in session.execute(asked)]
            self._fill(session, {row.run_id: row for row in rows}, models, whole)
        return rows

    def history(self, runs: Sequence[str], metric: str) -> Iterator[tuple[str, int, float]]:
        """Run, step and value of each point of a metric; of two at one step the later one comes last."""
        from mlflow.store.tracking.dbmodels.models import SqlMetric as Point
        from sqlalchemy import select

        columns = (Point.run_uuid, Point.step, Point.value, Point.is_nan)
        asked = select(*columns).where(Point.key == metric).order_by(Point.timestamp, Point.step, Point.value)
        with self._store.ManagedSessionMaker() as session:
            for run_id, step, value, is_nan in session.execute(asked.where(Point.run_uuid.in_(runs))):
                yield run_id, step, math.nan if is_nan else value

    def _fill(self, session: Any, rows: Mapping[str, Row], models: Any, whole: bool) -> None:
        from sqlalchemy import select

        tag, param, metric = models.SqlTag, models.SqlParam, models.SqlLatestMetric
        ids = list(rows)
        for start in range(0, len(ids), SOME):
            some = ids[start : start + SOME]
            for table, part in ((tag, "tags"), *([(param, "params")] if whole else [])):
                asked = select(table.run_uuid, table.key, table.value).where(table.run_uuid.in_(some))
                for run_id, key, value in session.execute(asked):
                    getattr(rows[run_id], part)[key] = value
            if whole:
                asked = select(metric.run_uuid, metric.key, metric.value, metric.is_nan)
                for run_id, key, value, is_nan in session.execute(asked.where(metric.run_uuid.in_(some))):
                    rows[run_id].metrics[key] = math.nan if is_nan else value
