"""Addresses of pages of MLflow's UI, relative to its own; all in its view for model training, not that for GenAI."""

from __future__ import annotations

VIEW = "workflowType=machine_learning"


def jobs(experiment_id: str, view: str) -> str:
    """The table of a sweep's jobs, by the name of a shared view."""
    return f"#/experiments/{experiment_id}/runs?viewStateShareKey={view}&{VIEW}"


def curves(experiment_id: str, view: str) -> str:
    """The charts of a sweep's jobs, likewise."""
    return f"{jobs(experiment_id, view)}&compareRunsMode=CHART"


def run(experiment_id: str, run_id: str, inside: str = "") -> str:
    """A run's page, or a part of it such as ``/model-metrics`` or ``/artifacts/<path>``."""
    return f"#/experiments/{experiment_id}/runs/{run_id}{inside}?{VIEW}"


def model(experiment_id: str, model_id: str) -> str:
    """The page of a logged model."""
    return f"#/experiments/{experiment_id}/models/{model_id}?{VIEW}"
