"""Runs read from the tables of a store that is a database, and points written to them.

MLflow makes an object of each row, of which a thousand runs have a hundred and fifty thousand: 10 ms a run, and 3 ms a
metric's history. Rows alone take a tenth of it. A store behind a server is asked by MLflow's client instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

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


class Point(NamedTuple):
    """A point of a metric, as MLflow calls its parts."""

    key: str
    value: float
    timestamp: int
    step: int

    def row(self, run_id: str) -> dict[str, Any]:
        """As MLflow writes it: NaN is a zero with a mark."""
        is_nan = math.isnan(self.value)
        return self._asdict() | {"run_uuid": run_id, "is_nan": is_nan, "value": 0.0 if is_nan else self.value}


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
        from mlflow.store.tracking.dbmodels.models import SqlMetric as Stored
        from sqlalchemy import select

        columns = (Stored.run_uuid, Stored.step, Stored.value, Stored.is_nan)
        asked = select(*columns).where(Stored.key == metric).order_by(Stored.timestamp, Stored.step, Stored.value)
        with self._store.ManagedSessionMaker() as session:
            for run_id, step, value, is_nan in session.execute(asked.where(Stored.run_uuid.in_(runs))):
                yield run_id, step, math.nan if is_nan else value

    def add_points(self, run_id: str, points: Sequence[Point]) -> bool:
        """Write points of metrics whose names MLflow has taken before; what is there already stays as it is.

        Args:
            run_id: of a run.
            points: of it.

        Returns:
            Whether they were written: not where the database is no SQLite, or the run was deleted.
        """
        from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlRun
        from sqlalchemy import select, tuple_
        from sqlalchemy.dialects.sqlite import insert

        if self._store.engine.dialect.name != "sqlite":
            return False
        order = ("step", "timestamp", "value")  # by which MLflow tells the latest
        latest: dict[str, dict[str, Any]] = {}
        rows = [point.row(run_id) for point in points]
        for row in sorted(rows, key=itemgetter(*order)):
            latest[row["key"]] = row
        upsert = insert(SqlLatestMetric)
        new, there = (tuple_(*(getattr(of, name) for name in order)) for of in (upsert.excluded, SqlLatestMetric))
        said = {name: upsert.excluded[name] for name in (*order, "is_nan")}
        upsert = upsert.on_conflict_do_update(index_elements=["key", "run_uuid"], set_=said, where=new > there)
        with self._store.ManagedSessionMaker(**self._writing) as session:
            if session.scalar(select(SqlRun.lifecycle_stage).where(SqlRun.run_uuid == run_id)) != "active":
                return False
            session.execute(insert(SqlMetric).on_conflict_do_nothing(), rows)
            session.execute(upsert, list(latest.values()))
        return True

    @property
    def _writing(self) -> dict[str, bool]:
        """For a session that writes: newer versions of MLflow ask."""
        return {"read_only": False} if "read_only" in signature(self._store.ManagedSessionMaker).parameters else {}

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
