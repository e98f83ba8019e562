"""Reads finished runs back from any MLflow store, and writes a report to the run of their sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridopt.errors import TrackingError, brief, options
from hybridopt.toolbox.credentials import masked_uri
from hybridopt.tracking import pages
from hybridopt.tracking.store import PAGE, connect, search_runs
from hybridopt.tracking.sweeps import NOTE_LENGTH, SHARED_VIEW
from hybridopt.tracking.tables import SOME, Row, Tables

if TYPE_CHECKING:
    from mlflow.entities import Run

READERS = 4  # histories that a server is asked for at a time
REPORT, STUDY = "report", "study"  # folders among a sweep's artifacts: of its report, of the page of a study

History = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class StoredRun:
    """One run as MLflow has it.

    Args:
        run_id: MLflow's.
        name: as listed.
        status: FINISHED, FAILED, KILLED, RUNNING or SCHEDULED.
        start: milliseconds since 1970.
        tags: by name.
        params: the flattened config.
        metrics: the last value of each.
    """

    run_id: str
    name: str
    status: str
    start: int
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]

    @property
    def sweep(self) -> str:
        """The id of the sweep that it is, or is a part of; its own name where somebody has taken that away."""
        return self.tags.get("hybridopt.sweep") or self.name


class Reader:
    """A store that is read.

    Args:
        uri: a tracking URI; None is ``MLFLOW_TRACKING_URI``, or ``mlflow.db`` in the current directory.

    Raises:
        TrackingError: the store cannot be read.
    """

    def __init__(self, uri: str | None):
        self.client = connect(uri, create=False)
        self.uri = masked_uri(self.client.tracking_uri)
        self.tables = Tables.of(self.client)

    def sweep(self, name: str | None) -> StoredRun:
        """The run of a sweep.

        Args:
            name: its id, its MLflow run id, or the name of that run; None is the latest sweep.

        Raises:
            TrackingError: there is none; the sentence has those there are.
        """
        sweeps = self._search({"hybridopt.kind": "sweep"})
        known = {run.sweep: run for run in reversed(sweeps)}
        if not sweeps:
            raise TrackingError(f"There is no sweep in {self.uri}: hybridopt -m makes one; --uri names another store.")
        if name is None:
            return sweeps[0]
        for run in sweeps:
            if name in (run.sweep, run.run_id, run.name):
                return run
        raise TrackingError(f"There is no sweep {name!r} in {self.uri}.{options(known, name)}")

    def children(self, parent: StoredRun) -> list[StoredRun]:
        """The runs of a sweep's jobs, oldest first."""
        found = self._search({"mlflow.parentRunId": parent.run_id})
        return sorted(found, key=lambda run: (run.start, run.run_id))

    def experiment(self, name: str) -> list[StoredRun]:
        """All runs of an experiment that hybridopt made, without those of sweeps themselves.

        Raises:
            TrackingError: there is no such experiment.
        """
        found = self.client.get_experiment_by_name(name)
        if found is None:
            names = [each.name for each in self.client.search_experiments()]
            raise TrackingError(f"There is no experiment {name!r} in {self.uri}.{options(names, name)}")
        runs = self._search({"hybridopt.strategy": ""}, [found.experiment_id])
        return sorted(runs, key=lambda run: (run.start, run.run_id))

    def pages(self, parent: StoredRun) -> dict[str, str]:
        """Where the UI shows a sweep, relative to its address: what there is of curves, jobs, sweep and report."""
        experiment = self.client.get_experiment(self.client.get_run(parent.run_id).info.experiment_id)
        place, name = experiment.experiment_id, parent.sweep
        shared = f"{SHARED_VIEW}{name}" in experiment.tags
        found = {"curves": pages.curves(place, name), "jobs": pages.jobs(place, name)} if shared else {}
        found["sweep"] = pages.run(place, parent.run_id)
        study = parent.tags.get("hybridopt.study")
        folder, page = (REPORT, "report") if study is None else (STUDY, study)
        if self._has(parent, folder):
            found["report"] = pages.run(place, parent.run_id, f"/artifacts/{folder}/{page}.html")
        return found

    def _has(self, parent: StoredRun, folder: str) -> bool:
        """Whether there is such a folder among a sweep's artifacts."""
        from mlflow.exceptions import MlflowException

        try:
            return bool(self.client.list_artifacts(parent.run_id, folder))
        except (MlflowException, OSError):  # kept on another machine
            return False

    def histories(
        self, runs: Sequence[str], metric: str, advance: Callable[[int], Any] = lambda _: None
    ) -> dict[str, History]:
        """All points of a metric.

        Args:
            runs: their ids.
            metric: its name.
            advance: called with the number of runs that have been read since.

        Returns:
            (step, value) in the order of the steps, by run.
        """
        read = self._histories if self.tables is None else self.tables.history
        found: dict[str, dict[int, float]] = {run_id: {} for run_id in runs}
        for start in range(0, len(runs), SOME):
            some = runs[start : start + SOME]
            for run_id, step, value in read(some, metric):
                found[run_id][step] = value
            advance(len(some))
        return {run_id: tuple(sorted(points.items())) for run_id, points in found.items()}

    def _histories(self, runs: Sequence[str], metric: str) -> Iterator[tuple[str, int, float]]:
        """Several calls at a time, to a server."""
        with ThreadPoolExecutor(READERS) as readers:
            histories = readers.map(lambda run_id: self.client.get_metric_history(run_id, metric), runs)
            for run_id, points in zip(runs, histories, strict=True):
                yield from ((run_id, point.step, point.value) for point in points)

    def download(self, run_id: str, file: str, folder: Path) -> Path:
        """A file among a run's artifacts, as a copy in a folder.

        Raises:
            TrackingError: the store does not give it.
        """
        from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR as BAR
        from mlflow.exceptions import MlflowException

        place, shown = folder / run_id, BAR.get_raw()
        place.mkdir(exist_ok=True)
        BAR.set(False)  # a bar of its own for each small file
        try:
            return Path(self.client.download_artifacts(run_id, file, str(place)))
        except (MlflowException, OSError) as error:
            raise TrackingError(f"{self.uri} does not give {file} of the run {run_id} ({brief(error)}).") from error
        finally:
            BAR.unset() if shown is None else BAR.set(shown)

    def attach(self, parent: StoredRun, description: str, metrics: Mapping[str, float], files: Iterable[Path]) -> None:
        """Write a report to a sweep's run: its description, numbers to compare sweeps by, and its files.

        Raises:
            TrackingError: the store takes none.
        """
        from mlflow.entities import Metric, RunTag
        from mlflow.exceptions import MlflowException

        numbers = [Metric(name, value, parent.start, 0) for name, value in metrics.items()]
        try:
            note = [RunTag("mlflow.note.content", description[:NOTE_LENGTH])]
            self.client.log_batch(parent.run_id, tags=note, synchronous=True)
            for start in range(0, len(numbers), PAGE):
                self.client.log_batch(parent.run_id, metrics=numbers[start : start + PAGE], synchronous=True)
            for file in files:
                self.client.log_artifact(parent.run_id, str(file), REPORT)
        except (MlflowException, OSError) as error:
            raise TrackingError(f"{self.uri} does not take the report ({brief(error)}): type --no-attach.") from error

    def _search(self, wanted: Mapping[str, str], experiments: Sequence[str] | None = None) -> list[StoredRun]:
        """Runs that have these tags, with any value where it is empty; the latest first."""
        from mlflow.exceptions import MlflowException

        try:
            places = experiments or [each.experiment_id for each in self.client.search_experiments()]
            if self.tables is not None:
                return [_run_of(row) for row in self.tables.runs(wanted, places)]
            said = [f"tags.`{tag}` " + (f"= '{value}'" if value else "!= ''") for tag, value in wanted.items()]
            return [_stored_run(run) for run in search_runs(self.client, places, " and ".join(said))]
        except MlflowException as error:
            raise TrackingError(f"The runs of {self.uri} cannot be read ({brief(error)}).") from error


def _run_of(row: Row) -> StoredRun:
    return StoredRun(row.run_id, row.name or row.run_id, row.status, row.start or 0, row.tags, row.params, row.metrics)


def _stored_run(run: Run) -> StoredRun:
    info, data = run.info, run.data
    name = info.run_name or info.run_id
    return StoredRun(info.run_id, name, info.status, info.start_time or 0, data.tags, data.params, data.metrics)
