"""Jobs of a sweep never share a directory, and what finished ones have not delivered is delivered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_sweep_run import TRACKED, children, parents

from hybridopt.tracking.journal import DELIVERED, read_delivered


def seeds(tmp_path: Path) -> dict[str, float]:
    """Final losses of the jobs in ``mine``, by directory."""
    found = sorted((tmp_path / "mine").rglob("result.json"))
    named = {str(path.parent.relative_to(tmp_path / "mine")): path for path in found}
    return {name: json.loads(path.read_text())["summary"]["final/val/loss"] for name, path in named.items()}


@pytest.mark.parametrize("subdir", ["in/same", "${hydra.job.num}"])
def test_jobs_have_directories_of_their_own_whatever_they_are_called(sweep, tmp_path: Path, subdir: str) -> None:
    places = (f"hydra.sweep.subdir={subdir}", "hydra.sweep.dir=mine", "sweep.name=grows")
    assert sweep("strategy=adam", "seed=30,31", *places).outcomes == {"ran": 2}
    assert sweep("strategy=adam", "seed=30,31,32", *places).outcomes == {"ran": 1, "skipped": 2}
    assert len(set(seeds(tmp_path).values())) == 3


@pytest.mark.parametrize("subdir", [".", "../x", "/tmp/x"])
def test_a_job_stays_inside_of_its_sweep(sweep, tmp_path: Path, subdir: str) -> None:
    ended = sweep("strategy=adam", "seed=0,1", f"hydra.sweep.subdir={subdir}")
    assert ended.code == 1
    assert "hydra.sweep.subdir names a folder for each job in that of the sweep" in ended.err
    assert not (tmp_path / "multirun").exists()


def test_a_job_that_was_killed_before_it_delivered_is_delivered(sweep, directories, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    command = ("strategy=adam", "sweep.name=twice", "sweep.report=false")
    sweep(*command, tracking=TRACKED)
    (job,) = directories("twice").values()
    lines = (job / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (job / DELIVERED).write_text(str(sum(map(len, lines[:-3]))))
    (parent,) = parents(tmp_path / "mlflow.db")
    (run,) = children(tmp_path / "mlflow.db", parent.info.run_id)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    client.update_run(run.info.run_id, status="RUNNING")
    assert sweep(*command, tracking=TRACKED).outcomes == {"skipped": 1}
    assert client.get_run(run.info.run_id).info.status == "FINISHED"
    assert read_delivered(job) == (job / "journal.jsonl").stat().st_size
