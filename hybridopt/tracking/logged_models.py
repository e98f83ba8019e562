"""A run's network among MLflow's logged models, from where it can be registered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

READY = "READY"
UNKNOWN = {"ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"}  # what servers before MLflow 3 say
SHOWN = ("model.name", "dataset.name", "objective.name", "encoding.name", "strategy.name", "seed")  # params of the run


def log_model(client: MlflowClient, run_id: str, path: Path) -> None:
    """Upload an MLflow model folder as a logged model of a run, with the run's test metrics; once more is harmless.

    ``mlflow.pytorch.load_model("runs:/<run_id>/<name of the folder>")`` loads it, ``mlflow.register_model`` takes the
    same address. Where the server has no logged models, the folder becomes an artifact under the same address.

    Args:
        client: of the store.
        run_id: the run.
        path: the folder.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    run, tags = client.get_run(run_id), Model.load(str(path)).metadata or {}
    try:
        model = _found(client, run, path.name) or client.create_logged_model(
            run.info.experiment_id, path.name, run_id, tags, _params(run)
        )
    except MlflowException as error:
        if error.error_code not in UNKNOWN:
            raise
        client.log_artifact(run_id, str(path))
        return
    if model.status != READY:
        client.log_model_artifacts(model.model_id, str(path))
        _log_metrics(client, run, model.model_id)
        _log_output(client, run, model.model_id)
        client.finalize_logged_model(model.model_id, READY)


def _found(client: MlflowClient, run: Run, name: str) -> LoggedModel | None:
    """The run's model of that name, which somebody began before."""
    of_run = f"source_run_id = '{run.info.run_id}'"
    models = client.search_logged_models([run.info.experiment_id], filter_string=of_run)
    return next((model for model in models if model.name == name), None)


def _params(run: Run) -> dict[str, str]:
    return {key: value for key, value in run.data.params.items() if key in SHOWN}


def _log_metrics(client: MlflowClient, run: Run, model_id: str) -> None:
    from mlflow.entities import Metric

    for name in run.data.metrics:
        if name.startswith("test/"):
            last = client.get_metric_history(run.info.run_id, name)[-1]
            of_model = Metric(name, last.value, last.timestamp, last.step, model_id, run_id=run.info.run_id)
            client.log_batch(run.info.run_id, metrics=[of_model], synchronous=True)


def _log_output(client: MlflowClient, run: Run, model_id: str) -> None:
    """Name the model among the outputs of the run, unless it is."""
    from mlflow.entities import LoggedModelOutput

    named = {output.model_id for output in run.outputs.model_outputs} if run.outputs else set()
    if model_id not in named:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model_id, 0)])
