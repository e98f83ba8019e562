"""Sweeps in MLflow: the run that is the parent of all jobs', found again from another machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hybridopt.toolbox.credentials import masked_uri
from hybridopt.tracking import pages
from hybridopt.tracking.identity import RunIdentity, holds_identity, write_identity
from hybridopt.tracking.patience import patient
from hybridopt.tracking.store import client_of, connect, ensure_experiment, search_runs
from hybridopt.tracking.tables import Tables

if TYPE_CHECKING:
    from mlflow import MlflowClient

SHARED_VIEW = "mlflow.sharedViewState."  # the UI's own name for such tags
NAME, LONGEST = "mlflow.runName", 200  # MLflow's own tag, by which a run is listed; its databases hold 250 characters
NOTE_LENGTH = 8000  # MLflow's limit for a tag, which a description is
GROUP = "hybridopt.group"  # the tag that jobs which differ in their seeds alone have in common


def adopt_sweep(directory: Path, settings: Mapping[str, Any], name: str) -> bool:
    """Where the store knows a sweep that the directory does not, note its run there, so that it goes on in it.

    Args:
        directory: the sweep's.
        settings: the config group ``tracking``.
        name: the sweep's id.

    Returns:
        Whether there was one.

    Raises:
        TrackingError: the store cannot be used.
    """
    if settings["name"] != "mlflow" or holds_identity(directory):
        return False
    client = connect(settings.get("uri"))
    experiment = ensure_experiment(client, settings["experiment"])
    wanted = f"tags.`hybridopt.kind` = 'sweep' and tags.`hybridopt.sweep` = '{name}'"
    found = client.search_runs([experiment], wanted, max_results=1)
    if not found:
        return False
    info = found[0].info
    uri = masked_uri(client.tracking_uri)
    write_identity(RunIdentity(info.run_id, experiment, uri, cast(str, info.artifact_uri)), directory)
    return True


def share_view(identity: RunIdentity, name: str, metrics: Sequence[str], tags: Sequence[str] = ()) -> str:
    """Have the MLflow UI show the jobs of a sweep with the columns that matter, and their curves, under a link.

    A curve is the mean of the jobs that have :data:`GROUP` in common, in a band from the least of them to the greatest.

    The UI keeps views that users share as tags of the experiment; this is one of them, and others stay as they are.

    Args:
        identity: the sweep's run.
        name: the sweep's id, and the view's.
        metrics: the columns besides strategy, data set, seed and costs.
        tags: more columns, without ``hybridopt.``.

    Returns:
        The page, relative to the UI's address.
    """
    named = [f"tags.`hybridopt.{tag}`" for tag in ("strategy", *tags, "dataset", "seed")]
    numbers = [f"metrics.`{metric}`" for metric in (*metrics, "cost/forwards", "cost/seconds")]
    view = {
        "searchFilter": f"tags.`mlflow.parentRunId` = '{identity.run_id}'",
        "orderByKey": "tags.`mlflow.runName`",  # by anything but time, or else the jobs hide under the sweep
        "orderByAsc": True,
        "selectedColumns": [*named, *numbers],
        "runsHiddenMode": "SHOW_ALL",  # or else charts have the first ten only
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": GROUP}]},
        "useGroupedValuesInCharts": True,
        "chartsSearchFilter": "^val/",
    }
    client = client_of(identity.tracking_uri)
    client.set_experiment_tag(identity.experiment_id, f"{SHARED_VIEW}{name}", json.dumps(view))
    return pages.jobs(identity.experiment_id, name)


def finished_runs(uri: str, experiment_id: str, parent_run_id: str) -> dict[str, list[tuple[str, Mapping[str, str]]]]:
    """Run id and tags of a sweep's jobs that have finished, wherever they ran, by fingerprint: the latest first."""
    found: dict[str, list[tuple[str, Mapping[str, str]]]] = {}
    for run_id, tags in _finished_children(patient(client_of(uri)), experiment_id, parent_run_id):
        if "hybridopt.fingerprint" in tags:
            found.setdefault(tags["hybridopt.fingerprint"], []).append((run_id, tags))
    return found


def _finished_children(client: MlflowClient, experiment_id: str, parent: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The latest first; of a database their tags alone are read."""
    tables = Tables.of(client)
    if tables is not None:
        rows = tables.runs({"mlflow.parentRunId": parent}, [experiment_id], whole=False)
        yield from ((row.run_id, row.tags) for row in rows if row.status == "FINISHED")
        return
    wanted = f"tags.`mlflow.parentRunId` = '{parent}' and attributes.status = 'FINISHED'"
    for run in search_runs(client, [experiment_id], wanted):
        yield run.info.run_id, run.data.tags


def add_tags(uri: str, run_id: str, tags: Mapping[str, str]) -> None:
    """Say more of a run that has finished."""
    from mlflow.entities import RunTag

    client_of(uri).log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()], synchronous=True)
