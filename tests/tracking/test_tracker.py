"""The tracker over a real SQLite store: everything arrives, once, whatever happens to the process in between."""

import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stored import client, steps, wait_until

from hybridopt.errors import ConfigError, ResumeError, TrackingError
from hybridopt.tracking.checked import CONFIG_FILE
from hybridopt.tracking.identity import IDENTITY, find_directory
from hybridopt.tracking.journal import DELIVERED
from hybridopt.tracking.lines import JOURNAL, read_operations
from hybridopt.tracking.tracker import open_tracker

# MLflow 3.17's own models use a loader strategy that SQLAlchemy 2.1 deprecates; said when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

NONE = {"name": "none"}


def test_an_unknown_tracking_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no tracking 'mlflwo'\. Did you mean 'mlflow'\? .*mlflow, none"):
        open_tracker({"name": "mlflwo"}, tmp_path, run_name="a")


def test_without_mlflow_there_is_the_journal(tmp_path: Path) -> None:
    tracker = open_tracker(NONE, tmp_path / "run", run_name="a")
    tracker.log_metrics({"loss": 1.0}, step=1)
    assert tracker.finish("FINISHED") == 0
    assert tracker.run_id is None
    assert tracker.url == str(tmp_path / "run" / JOURNAL)
    kinds = [operation.kind for operation in read_operations(tmp_path / "run" / JOURNAL)]
    assert kinds == ["metrics", "status"]
    assert not (tmp_path / "run" / IDENTITY).exists()


def test_a_directory_takes_one_run(tmp_path: Path) -> None:
    tracker = open_tracker(NONE, tmp_path, run_name="a")
    tracker.set_tags({"a": "b"})
    tracker.finish("FAILED")
    with pytest.raises(ConfigError, match="already holds a run: type resume="):
        open_tracker(NONE, tmp_path, run_name="a")
    open_tracker(NONE, tmp_path, run_name="a", resume=True).finish("FINISHED")


def test_everything_arrives(settings: dict, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    tracker = open_tracker(settings, directory, run_name="first", parent_run_id="0" * 32)
    (directory / "plot.txt").write_text("a plot")
    tracker.log_params({"lr": 0.1, "empty": "", "long": "x" * 7000, "odd@name": 1})
    tracker.set_tags({"hybridopt.seed": "3", "mlflow.note.content": "# A note", "long": "x" * 9000})
    for step in range(1500):
        tracker.log_metrics({"train/loss": step / 2, "cost/seconds": float(step)}, step)
    tracker.log_metrics({"precision@5": 0.5, "train/loss": math.nan, "val/loss": math.inf}, step=2000)
    tracker.log_artifact(directory / "plot.txt", "plots")
    assert tracker.finish("FINISHED") == 0

    run = client(settings["uri"]).get_run(tracker.run_id)
    assert run.info.run_name == "first"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"lr": "0.1", "empty": "", "long": "x" * 6000, "odd_name": "1"}
    assert run.data.tags["hybridopt.directory"] == str(directory)
    assert run.data.tags["mlflow.parentRunId"] == "0" * 32
    assert run.data.tags["mlflow.source.type"] == "LOCAL"
    assert run.data.tags["mlflow.source.name"] == sys.argv[0]
    assert run.data.tags["mlflow.note.content"] == "# A note"
    assert len(run.data.tags["long"]) == 8000
    assert steps(settings["uri"], tracker.run_id, "train/loss") == [*range(1500), 2000]
    assert math.isnan(run.data.metrics["train/loss"])
    assert run.data.metrics["precision_5"] == 0.5
    assert "val/loss" not in run.data.metrics
    assert (tmp_path / "mlruns" / "hybridopt" / tracker.run_id / "artifacts" / "plots" / "plot.txt").exists()
    assert json.loads((directory / IDENTITY).read_text())["run_id"] == tracker.run_id
    assert tracker.run_id in tracker.url


def test_the_commit_is_that_of_the_directory_where_the_command_was_typed(
    settings: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    for name, uncommitted in (("clean", False), ("dirty", True)):
        (tmp_path / "file").write_text(name)
        subprocess.run(["git", "add", "file"] if uncommitted else ["true"], check=True)
        tracker = open_tracker(settings, tmp_path / name, run_name="a")
        tracker.finish("FINISHED")
        tags = client(settings["uri"]).get_run(tracker.run_id).data.tags
        assert tags["mlflow.source.git.commit"] == commit
        assert ("hybridopt.uncommitted" in tags) == uncommitted


def test_outside_of_a_repository_a_run_has_no_commit_of_its_own(
    settings: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tracker = open_tracker(settings, tmp_path / "run", run_name="a")
    tracker.finish("FINISHED")
    assert "mlflow.source.git.commit" not in client(settings["uri"]).get_run(tracker.run_id).data.tags


def test_without_git_there_is_a_run_all_the_same(
    settings: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tracker = open_tracker(settings, tmp_path / "run", run_name="a")
    assert tracker.finish("KILLED") == 0
    run = client(settings["uri"]).get_run(tracker.run_id)
    assert "mlflow.source.git.commit" not in run.data.tags
    assert run.info.status == "KILLED"


def test_reporting_never_raises(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = open_tracker(NONE, tmp_path, run_name="a")
    for step in range(3):
        tracker.log_metrics({"loss": "no number"}, step)
    assert caplog.text.count("is lost (ValueError: could not convert") == 1
    assert tracker.finish("FINISHED") == tracker.finish("FAILED") == 0
    tracker.log_metrics({"loss": 1.0}, step=4)
    assert "is lost (OSError" in caplog.text


def test_reporting_takes_microseconds(tmp_path: Path) -> None:
    tracker = open_tracker(NONE, tmp_path, run_name="a")
    metrics = {"train/loss": 0.123456789, "cost/seconds": 12.5, "cost/evaluations": 1000.0}
    times = []
    for step in range(5000):
        begin = time.perf_counter()
        tracker.log_metrics(metrics, step)
        times.append(time.perf_counter() - begin)
    tracker.finish("FINISHED")
    assert sorted(times)[len(times) // 2] < 200e-6  # about 10 on an idle machine


def _train_until_killed(settings: dict, directory: Path) -> None:
    tracker = open_tracker(settings, directory, run_name="a")
    tracker.log_params({"lr": 0.1})
    for step in range(10**9):
        tracker.log_metrics({"train/loss": 1 / (step + 1)}, step)
        time.sleep(0.001)


def test_a_killed_run_is_continued_by_another_process(settings: dict, tmp_path: Path) -> None:
    directory, uri = tmp_path / "run", settings["uri"]
    process = multiprocessing.get_context("spawn").Process(target=_train_until_killed, args=(settings, directory))
    process.start()
    wait_until(lambda: (directory / DELIVERED).exists())
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with (directory / JOURNAL).open("ab") as file:
        file.write(b'{"kind":"metr')
    tracker = open_tracker({**settings, "experiment": "another"}, directory, run_name="b", resume=True)
    last = tracker._journal.last_step
    assert last > 0
    tracker.log_params({"lr": 0.2})  # MLflow would refuse the change; the first value stays
    for step in range(last // 2, last + 100):  # from the last checkpoint on
        tracker.log_metrics({"train/loss": 1 / (step + 1)}, step)
    wait_until(lambda: client(uri).get_run(tracker.run_id).info.status == "RUNNING")
    assert tracker.finish("FINISHED") == 0
    assert len(client(uri).search_runs([tracker.identity.experiment_id])) == 1
    assert steps(uri, tracker.run_id, "train/loss") == list(range(last + 100))
    run = client(uri).get_run(tracker.run_id)
    assert run.data.params == {"lr": "0.1"}
    assert run.info.run_name == "a"
    assert run.info.status == "FINISHED"


def test_a_finished_run_that_is_resumed_runs_again_and_may_have_moved(settings: dict, tmp_path: Path) -> None:
    first = open_tracker(settings, tmp_path / "old", run_name="a")
    first.finish("KILLED")
    shutil.move(tmp_path / "old", tmp_path / "new")
    with pytest.raises(ResumeError, match="is gone from this machine"):
        find_directory(first.run_id, settings["uri"])
    second = open_tracker(settings, tmp_path / "new", run_name="a", resume=True)
    assert second.run_id == first.run_id
    wait_until(lambda: client(settings["uri"]).get_run(first.run_id).info.status == "RUNNING")
    second.finish("FINISHED")
    assert client(settings["uri"]).get_run(first.run_id).info.status == "FINISHED"
    assert find_directory(first.run_id, settings["uri"]) == tmp_path / "new"


def test_a_run_without_mlflow_gets_its_past_there_when_it_is_resumed_with_it(settings: dict, tmp_path: Path) -> None:
    first = open_tracker(NONE, tmp_path / "run", run_name="a")
    first.log_metrics({"loss": 1.0}, step=1)
    first.finish("KILLED")
    second = open_tracker(settings, tmp_path / "run", run_name="a", resume=True)
    second.log_metrics({"loss": 2.0}, step=2)
    assert second.finish("FINISHED") == 0
    assert steps(settings["uri"], second.run_id, "loss") == [1, 2]


def test_a_run_that_its_store_has_lost_is_reported(settings: dict, template: Path, tmp_path: Path) -> None:
    open_tracker(settings, tmp_path / "run", run_name="a").finish("KILLED")
    identity = json.loads((tmp_path / "run" / IDENTITY).read_text())
    (tmp_path / "run" / IDENTITY).write_text(json.dumps({**identity, "run_id": "0" * 32}))
    with pytest.raises(TrackingError, match=r"has lost the run 0{32} .*run\.json"):
        open_tracker(settings, tmp_path / "run", run_name="a", resume=True)
    (tmp_path / "run" / IDENTITY).write_text("{")
    with pytest.raises(ResumeError, match=r"run\.json is damaged .*: delete it to get a new MLflow run"):
        open_tracker(settings, tmp_path / "run", run_name="a", resume=True)


def test_find_directory_says_what_is_wrong(settings: dict, uri: str) -> None:
    with pytest.raises(ResumeError, match="There is no run 'nonsense' in sqlite:"):
        find_directory("nonsense", uri)
    foreign = client(uri).create_run(client(uri).create_experiment("foreign"))
    with pytest.raises(ResumeError, match="is none of hybridopt's"):
        find_directory(foreign.info.run_id, uri)


def test_the_note_of_another_run_is_refused(settings: dict, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / CONFIG_FILE).write_text(name)
        tracker = open_tracker(settings, tmp_path / name, run_name=name)
        tracker.log_metrics({"loss": 1.0}, step=1)
        tracker.finish("KILLED")
    shutil.copy(tmp_path / "a" / IDENTITY, tmp_path / "b")
    with pytest.raises(ResumeError, match=r"run\.json is damaged \(it is another run's\): delete it to get a new"):
        open_tracker(settings, tmp_path / "b", run_name="b", resume=True)
    (tmp_path / "b" / IDENTITY).unlink()
    resumed = open_tracker(settings, tmp_path / "b", run_name="b", resume=True)
    resumed.finish("FINISHED")
    assert steps(settings["uri"], resumed.run_id, "loss") == [1]


def test_two_runs_that_tell_of_one_data_set_at_once_both_have_it(
    settings: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import BAD_REQUEST

    log_inputs, calls = MlflowClient.log_inputs, []

    def second(*arguments: object, **more: object) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise MlflowException("UNIQUE constraint failed: datasets.digest", error_code=BAD_REQUEST)
        log_inputs(*arguments, **more)

    monkeypatch.setattr(MlflowClient, "log_inputs", second)
    tracker = open_tracker(settings, tmp_path / "run", run_name="a")
    dataset = {"name": "iris", "digest": "1", "source_type": "local", "source": "{}", "schema": "{}", "profile": "{}"}
    tracker.log_input(dataset, "training")
    assert tracker.finish("FINISHED") == 0
    (found,) = client(settings["uri"]).get_run(tracker.run_id).inputs.dataset_inputs
    assert found.dataset.name == "iris"
