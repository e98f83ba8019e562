"""The writer: a thread that delivers a run's journal to MLflow, at its own pace and never in the way of training."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hybridopt.errors import brief
from hybridopt.tracking.batches import (
    METRICS_PER_CALL,
    PARAM_LENGTH,
    TAG_LENGTH,
    VALUES_PER_CALL,
    groups,
    points,
    slices,
    texts,
)
from hybridopt.tracking.journal import read_delivered, write_delivered
from hybridopt.tracking.lines import JOURNAL, UNREADABLE, Operation, read_operations
from hybridopt.tracking.logged_models import log_model
from hybridopt.tracking.store import client_of
from hybridopt.tracking.tables import Point, Tables

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

THREAD = "mlflow-writer"
PERIOD = 2.0  # seconds between two looks at the journal
LONGEST_WAIT = 60.0  # seconds between two attempts while the store is away
PATIENCE = 20.0  # seconds that finish() waits for the store in all
AWAY = 5.0  # seconds that it waits for one that has failed and taken nothing since
ARTIFACT_ATTEMPTS = 3
UPLOADS = ("artifact", "model")
TALKATIVE = ("urllib3.connectionpool", "mlflow.store.db.utils")  # the latter with tracebacks, on a disk that is full
ODD = (TypeError, AttributeError, KeyError, UnicodeError, OverflowError)  # no store says so: the operation is odd
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST"}  # MLflow's words for what will never be accepted


class MlflowWriter:
    """Follows the journal in ``directory`` and delivers it to an existing MLflow run.

    A failure is logged once and tried again, with growing pauses; nothing is raised into the thread that trains.
    What has been delivered is noted beside the journal, so that another process can go on. Delivering twice is
    harmless: MLflow keeps one of two equal points. Infinite metric values stay in the journal only, since MLflow turns
    them into 1.8e308, which ruins a chart.

    Args:
        directory: the run's directory.
        uri: the tracking URI, prepared by :func:`~hybridopt.tracking.store.prepare_store`.
        run_id: the MLflow run.
        period: seconds between two looks at the journal.
        patience: seconds that :meth:`finish` waits in all.
    """

    def __init__(self, directory: Path, uri: str, run_id: str, period: float = PERIOD, patience: float = PATIENCE):
        self.directory = directory
        self.uri = uri
        self.run_id = run_id
        self.period, self.patience = period, patience
        self.refused = 0  # operations that MLflow will never accept
        self._client: MlflowClient | None = None
        self._tables: Tables | None = None
        self._names: set[str] = set()  # of metrics that MLflow has taken
        self._params: dict[str, str] = {}  # those that the run has
        self._delivered = read_delivered(directory)
        self._finishing = threading.Event()
        self._abandoned = threading.Event()
        self._failures = 0  # since the last success
        self._last_success = time.monotonic()
        self._thread = threading.Thread(target=self._follow, name=f"{THREAD}-{run_id}", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        for name in TALKATIVE:
            logging.getLogger(name).addFilter(_is_from_elsewhere)
        self._thread.start()

    def finish(self) -> int:
        """Deliver what is left, for as long as there is patience; for a few seconds where the store is away.

        What is left then, waits in the journal: ``hybridopt-sync`` delivers it.

        Returns:
            The number of operations that MLflow does not have: those still in the journal and those it refused.
        """
        self._last_success = self._finish_began = time.monotonic()
        self._finishing.set()
        while self._thread.is_alive() and not self._hopeless():
            self._thread.join(0.05)
        self._abandoned.set()
        return self.refused + sum(1 for _ in read_operations(self.directory / JOURNAL, self._delivered))

    def tell(self, status: str) -> None:
        """Give the run a status that could not be journalled; a store that is away does without."""
        try:
            self._set_status(status, time.time_ns() // 1_000_000)
        except Exception as error:
            log.warning("MLflow does not learn that run %s is %s (%s).", self.run_id, status, brief(error))

    def _hopeless(self) -> bool:
        now = time.monotonic()
        away = self._failures > 0 and now - self._last_success > AWAY
        return away or now - self._finish_began > self.patience

    def _follow(self) -> None:
        """The thread: deliver, rest, deliver; after finish() was called, until nothing is left."""
        while not self._abandoned.is_set():
            last_round = self._finishing.is_set()  # asked before the delivery, which then is the last one
            done = self._try_to_deliver()
            if done and last_round:
                return
            self._rest()

    def _rest(self) -> None:
        if self._finishing.is_set():
            self._abandoned.wait(0.5 if self._failures else 0)
        else:
            self._finishing.wait(min(self.period * 2**self._failures, max(self.period, LONGEST_WAIT)))

    def _try_to_deliver(self) -> bool:
        """Whether everything that the journal holds has been delivered."""
        try:
            for group in groups(read_operations(self.directory / JOURNAL, self._delivered)):
                self._deliver(group)
                if self._abandoned.is_set():
                    return False
        except Exception as error:  # whatever happens to a server, the training must not notice
            self._note_failure(error)
            return False
        return True

    def _deliver(self, group: Sequence[Operation]) -> None:
        """Send a group; where MLflow refuses it, send its halves, so that one bad operation spoils no other."""
        if group[0].kind == UNREADABLE:
            self.refused += 1
            log.warning(
                "%s has an unreadable line, which is set aside: %s.", self.directory / JOURNAL, group[0].content["why"]
            )
            self._note_success(group[0].end)
            return
        try:
            self._send(group)
        except Exception as error:
            if not self._is_final(error, group[0]):
                raise
            if len(group) > 1:
                self._deliver(group[: len(group) // 2])
                self._deliver(group[len(group) // 2 :])
                return
            self._refuse(group[0], error)
        self._note_success(group[-1].end)

    def _send(self, group: Sequence[Operation]) -> None:
        first = group[0]
        if first.kind == "status":
            self._set_status(first.content["status"], first.content["time"])
        elif first.kind in UPLOADS:
            self._upload(first)
        elif first.kind == "input":
            self._log_input(first)
        else:
            self._log(group)

    def _log(self, group: Sequence[Operation]) -> None:
        """Send metrics, params and tags in as few calls as MLflow allows."""
        from mlflow.entities import Param, RunTag

        client = self._connected()
        metrics = [point for operation in group for point in points(operation)]
        params = {k: v for k, v in texts(group, "params", PARAM_LENGTH).items() if k not in self._params}
        tags = texts(group, "tags", TAG_LENGTH)
        for some in slices([RunTag(key, value) for key, value in tags.items()], VALUES_PER_CALL):
            client.log_batch(self.run_id, tags=some, synchronous=True)
        for some in slices([Param(key, value) for key, value in params.items()], VALUES_PER_CALL):
            client.log_batch(self.run_id, params=some, synchronous=True)
            self._params |= {param.key: param.value for param in some}
        self._log_points([point for point in metrics if point.key not in self._names])
        known = [point for point in metrics if point.key in self._names]
        if not known or self._tables is None or not self._tables.add_points(self.run_id, known):
            self._log_points(known)
        self._names |= {point.key for point in metrics}

    def _log_points(self, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        for some in slices([Metric(*point) for point in points], METRICS_PER_CALL):
            self._connected().log_batch(self.run_id, metrics=some, synchronous=True)

    def _set_status(self, status: str, time_ms: int) -> None:
        if status == "RUNNING":
            self._connected().update_run(self.run_id, status=status)
        else:
            self._connected().set_terminated(self.run_id, status=status, end_time=time_ms)

    def _log_input(self, operation: Operation) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.exceptions import MlflowException

        dataset, context = Dataset(**operation.content["dataset"]), operation.content["context"]
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])]
        try:
            self._connected().log_inputs(self.run_id, inputs)
        except MlflowException:  # of two runs that tell of one data set at once, the second finds it there by now
            self._connected().log_inputs(self.run_id, inputs)

    def _upload(self, operation: Operation) -> None:
        path = self.directory / operation.content["path"]
        if not _is_inside(path, self.directory):
            self._refuse(operation, PermissionError(f"{path} is, or leads, outside of the run's directory"))
            return
        if not path.exists():  # such as a checkpoint that a better one replaced
            self._refuse(operation, FileNotFoundError(f"{path} is gone"))
            return
        if operation.kind == "model":
            log_model(self._connected(), self.run_id, path)
        else:
            self._connected().log_artifact(self.run_id, str(path), operation.content["folder"] or None)

    def _connected(self) -> MlflowClient:
        """The client, made at its first use; the run's params are read then, since MLflow forbids to change them."""
        if self._client is None:
            client = client_of(self.uri)
            self._params = dict(client.get_run(self.run_id).data.params)
            self._client, self._tables = client, Tables.of(client)
        return self._client

    def _is_final(self, error: Exception, operation: Operation) -> bool:
        """Whether trying again is useless, though the store answers and the run is there.

        Artifacts go to a place of their own, which may be closed to us for good: they must not hold up the metrics.
        To a deleted run MLflow refuses everything, but it may be restored.
        """
        refused = getattr(error, "error_code", None) in REFUSALS or isinstance(error, ODD)
        given_up = operation.kind in UPLOADS and self._failures >= ARTIFACT_ATTEMPTS
        return (refused or given_up) and self._connected().get_run(self.run_id).info.lifecycle_stage == "active"

    def _refuse(self, operation: Operation, error: Exception) -> None:
        self.refused += 1
        log.warning(
            "MLflow refuses %s of run %s, they stay in its journal: %s.", operation.kind, self.run_id, brief(error)
        )

    def _note_success(self, end: int) -> None:
        if self._failures:
            log.info("MLflow at %s takes what run %s reports again.", self.uri, self.run_id)
        self._failures = 0
        self._last_success = time.monotonic()
        self._delivered = end
        with suppress(OSError):  # what nobody noted is delivered again one day, which is harmless
            write_delivered(self.directory, end)

    def _note_failure(self, error: Exception) -> None:
        if not self._failures:
            log.warning(
                "MLflow at %s does not take what run %s reports (%s); it is kept in %s and sent later.",
                self.uri, self.run_id, brief(error), self.directory / JOURNAL,
            )  # fmt: skip
        self._failures += 1


def _is_inside(path: Path, directory: Path) -> bool:
    """Whether a file or folder, and all that it holds, lies in a directory, whatever links say."""
    root = directory.resolve()
    return all(each.resolve().is_relative_to(root) for each in (path, *path.rglob("*")))


def _is_from_elsewhere(record: logging.LogRecord) -> bool:
    """A filter for those who tell of every attempt: the writer says it once."""
    return not (record.threadName or "").startswith(THREAD)
