"""A remote store: PostgreSQL on loopback, as several machines would share it; and how busy the machine is."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jobs import LIMIT
from mlflow import MlflowClient

from hybridopt.errors import ConfigError, TrackingError
from hybridopt.execution import experiment
from hybridopt.report.make import make_report
from hybridopt.tracking import system
from hybridopt.tracking.store import prepare_store
from hybridopt.tracking.tracker import open_tracker

QUICK = ["dataset=iris", "dataset.batch_size=16", "model.hidden=[4]", "strategy=adam", "budget.forwards=3e3",
         "budget.marks=3", "trainer.enable_progress_bar=false", "tracking.log_model=false"]  # fmt: skip


def tool(name: str) -> str | None:
    """A program of PostgreSQL, which Debian keeps off the path."""
    return shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))[::-1]), None)


def unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: root runs it as somebody else."""
    if os.getuid() != 0:
        return {}
    entry = pwd.getpwnam("nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URI of a fresh PostgreSQL database on loopback."""
    if tool("initdb") is None:
        pytest.skip("needs PostgreSQL: install Debian's package postgresql")
    pytest.importorskip("psycopg", reason="needs psycopg: it is in the extra [test]")
    folder, who = Path(tempfile.mkdtemp()), unprivileged()  # not below pytest's folders, which are root's alone
    if who:
        os.chown(folder, who["user"], who["group"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    subprocess.run([tool("initdb"), "-D", folder / "data", "-U", "reviewer", "-A", "trust"], check=True, **quiet, **who)
    command = [tool("postgres"), "-D", folder / "data", "-p", str(port), "-k", folder, "-h", "127.0.0.1"]
    server = subprocess.Popen(command, **quiet, **who)
    try:
        for _ in range(6000):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"postgresql+psycopg://reviewer@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # SIGTERM would wait for all clients
        server.wait(LIMIT)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_runs_and_their_report_are_in_postgresql(
    postgres: str, composed: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where MLflow keeps the artifacts of a database
    prepare_store(postgres)
    settings = {"name": "mlflow", "uri": postgres, "experiment": "shared"}
    tags = {"hybridopt.kind": "sweep", "hybridopt.sweep": "s"}
    parent = open_tracker(settings, tmp_path / "sweep", run_name="sweep s", tags=tags)
    for seed in range(2):
        job = composed(*QUICK, f"seed={seed}", f"tracking.uri={postgres}", "tracking.experiment=shared")
        result = experiment.run(job, tmp_path / str(seed), parent.run_id)
        assert result.undelivered == 0
    report = make_report(postgres, "s", out=tmp_path / "report")
    assert parent.finish("FINISHED") == 0
    run = MlflowClient(postgres).get_run(parent.run_id)
    assert run.data.metrics["adam.iris/test/accuracy/median"] == pytest.approx(
        report.aggregates["adam.iris/test/accuracy/median"]
    )
    assert len(MlflowClient(postgres).get_metric_history(result.run_id, "val/accuracy")) == 3


def test_a_database_that_is_not_there_is_told_in_a_sentence() -> None:
    pytest.importorskip("psycopg", reason="needs psycopg: it is in the extra [test]")
    with pytest.raises(TrackingError, match="cannot be opened") as refused:
        prepare_store("postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=1")
    assert "\n" not in str(refused.value)


def test_how_busy_the_machine_is_comes_with_the_metrics(settings: dict, tmp_path: Path) -> None:
    pytest.importorskip("psutil", reason="needs psutil: it is in the extra [test]")
    tracker = open_tracker(settings, tmp_path / "run", run_name="a")
    with system.watching(tracker, lambda: 7, True, period=0.05):
        time.sleep(0.3)
    tracker.finish("FINISHED")
    metrics = MlflowClient(settings["uri"]).get_run(tracker.run_id).data.metrics
    assert 0 <= metrics["system/cpu_utilization_percentage"] <= 100
    assert metrics["system/process_memory_megabytes"] > 10
    history = MlflowClient(settings["uri"]).get_metric_history(tracker.run_id, "system/cpu_utilization_percentage")
    assert {point.step for point in history} == {7}


def test_without_psutil_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psutil", None)
    tracker = open_tracker({"name": "none"}, tmp_path / "run", run_name="a")
    with (
        pytest.raises(ConfigError, match=r'needs psutil: type pip install "hybridopt\[system\]"'),
        system.watching(tracker, lambda: 0, True),
    ):
        pass
    with system.watching(tracker, lambda: 0, False):
        tracker.finish("FINISHED")
