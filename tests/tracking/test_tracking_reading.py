"""What a reviewer uses: inputs, views, the UI on this machine, and deliveries that were left over."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import LIMIT
from mlflow import MlflowClient

from hybridopt import DataModule, DataSpec
from hybridopt.errors import TrackingError
from hybridopt.execution import experiment
from hybridopt.execution.datasheet import datasheet
from hybridopt.programs import sync, ui
from hybridopt.tracking.reading import Reader
from hybridopt.tracking.sweeps import adopt_sweep, finished_runs, share_view
from hybridopt.tracking.tracker import open_tracker

QUICK = ["dataset=iris", "dataset.batch_size=16", "model.hidden=[4]", "strategy=adam", "budget.forwards=3e3",
         "budget.marks=3", "trainer.enable_progress_bar=false", "tracking.log_model=false"]  # fmt: skip


@pytest.fixture
def ran(composed: Callable[..., dict[str, Any]], uri: str, tmp_path: Path) -> Any:
    """The MLflow run of a small job."""
    result = experiment.run(composed(*QUICK, f"tracking.uri={uri}"), tmp_path / "run")
    return MlflowClient(uri).get_run(result.run_id)


def test_a_run_is_named_by_what_it_is(ran: Any) -> None:
    assert ran.info.run_name == "adam · iris · seed 0"
    assert ran.data.tags["hybridopt.host"] == socket.gethostname()
    assert ran.data.tags["hybridopt.code"].startswith("hybridopt==")
    assert json.loads(ran.data.tags["hybridopt.directions"]) == {
        "val/accuracy": True,
        "val/f1": True,
        "val/loss": False,
    }


def test_its_data_are_inputs_with_a_digest_of_their_own(ran: Any) -> None:
    inputs = {each.tags[0].value: each.dataset for each in ran.inputs.dataset_inputs}
    assert set(inputs) == {"training", "validation", "testing"}
    assert {dataset.name for dataset in inputs.values()} == {"iris"}
    assert len({dataset.digest for dataset in inputs.values()}) == 3
    assert json.loads(inputs["training"].profile) == {"samples": 90}
    assert json.loads(inputs["training"].source)["split_seed"] == 0
    assert json.loads(inputs["training"].schema)["outputs"] == 3


def test_other_data_at_the_same_path_have_another_digest(
    composed: Callable[..., dict[str, Any]], uri: str, tmp_path: Path
) -> None:
    def digest(number: int, inputs: np.ndarray) -> str:
        np.savez(tmp_path / "data.npz", inputs=inputs, target=np.arange(40) % 2)
        own = ["dataset=arrays", f"dataset.path={tmp_path / 'data.npz'}", f"tracking.uri={uri}"]
        config = composed(*[override for override in QUICK if override != "dataset=iris"], *own)
        result = experiment.run(config, tmp_path / f"run{number}")
        return MlflowClient(uri).get_run(result.run_id).inputs.dataset_inputs[0].dataset.digest

    first = np.random.default_rng(0).normal(size=(40, 3))
    one, same, other = (digest(number, inputs) for number, inputs in enumerate((first, first, first**2)))
    assert one == same != other


def test_data_that_states_no_facts_is_identified_by_its_settings() -> None:
    spec = DataSpec((3,), 2, "classification")
    one, same, other = (datasheet(DataModule(), {"name": "iris", "split_seed": seed}, spec) for seed in (0, 0, 1))
    assert one.identified_by == "settings"
    assert [context for context, _ in one.inputs] == ["training"]
    assert one == same
    assert one.inputs[0][1]["digest"] != other.inputs[0][1]["digest"]


def test_what_identified_the_data_is_a_tag(ran: Any) -> None:
    assert ran.data.tags["hybridopt.dataset.identified_by"] == "contents"


def test_inputs_that_the_store_did_not_take_are_delivered_later(
    settings: dict, uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = open_tracker(settings, tmp_path / "outputs" / "a", run_name="a")
    store = Path(uri.removeprefix("sqlite:///"))
    tracker._writer._abandoned.set()  # as a process that is killed
    tracker._writer._thread.join()
    tracker.log_input({"name": "d", "digest": "1", "source_type": "s", "source": "{}"}, "training")
    tracker.log_metrics({"val/loss": 1.0}, 5)
    tracker._journal.close()
    away = store.rename(tmp_path / "away.db")
    with pytest.raises(SystemExit) as failed:
        sync.main([str(tmp_path / "outputs")])
    assert failed.value.code == 1
    away.rename(store)
    with pytest.raises(SystemExit) as looked:
        sync.main(["--dry-run", str(tmp_path / "outputs")])
    assert looked.value.code == 1
    with pytest.raises(SystemExit) as delivered:
        sync.main([str(tmp_path / "outputs")])
    assert delivered.value.code == 0
    run = MlflowClient(uri).get_run(tracker.run_id)
    assert run.inputs.dataset_inputs[0].dataset.name == "d"
    assert run.data.metrics == {"val/loss": 1.0}
    capsys.readouterr()
    sync.main([str(tmp_path / "outputs")])
    assert "Nothing waits" in capsys.readouterr().out


def test_a_run_that_goes_on_is_left_alone(settings: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                          monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("hybridopt.tracking.files.LOCK_PATIENCE", 0.1)
    tracker = open_tracker(settings, tmp_path / "a", run_name="a")
    tracker._writer._abandoned.set()
    tracker._writer._thread.join()
    tracker.log_metrics({"val/loss": 1.0}, 5)
    with pytest.raises(SystemExit) as failed:
        sync.main([str(tmp_path)])
    assert failed.value.code == 1
    assert "being written by another process" in " ".join(capsys.readouterr().out.split())
    tracker._journal.close()


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="There is no directory nowhere"):
        sync.main(["nowhere"])


@pytest.fixture
def swept(settings: dict, tmp_path: Path) -> Any:
    """A sweep's run, and one child that has finished."""
    tags = {"hybridopt.kind": "sweep", "hybridopt.sweep": "s"}
    parent = open_tracker(settings, tmp_path / "sweep", run_name="sweep s", tags=tags)
    child = open_tracker(settings, tmp_path / "sweep" / "a", run_name="a · b · seed 0", parent_run_id=parent.run_id)
    child.set_tags({"hybridopt.fingerprint": "f", "hybridopt.strategy": "a", "hybridopt.group": "a on b"})
    child.log_metrics({"test/accuracy": 0.5, "val/accuracy": 0.5, "cost/forwards": 10}, 10)
    child.finish("FINISHED")
    share_view(parent.identity, "s", ["test/accuracy"])
    parent.finish("FINISHED")
    return parent


def test_a_sweep_is_found_by_any_of_its_names(swept: Any, uri: str) -> None:
    reader = Reader(uri)
    assert {reader.sweep(name).run_id for name in (None, "s", "sweep s", swept.run_id)} == {swept.run_id}
    assert [run.name for run in reader.children(reader.sweep("s"))] == ["a · b · seed 0"]
    pages = reader.pages(reader.sweep("s"))
    assert pages["jobs"].endswith("/runs?viewStateShareKey=s&workflowType=machine_learning")
    assert pages["curves"] == f"{pages['jobs']}&compareRunsMode=CHART"
    assert pages["sweep"].endswith(f"/runs/{swept.run_id}?workflowType=machine_learning")
    assert "report" not in pages  # it has none


def test_a_sweep_is_adopted_where_its_directory_is_not(swept: Any, settings: dict, tmp_path: Path) -> None:
    assert adopt_sweep(tmp_path / "new", settings, "s")
    assert json.loads((tmp_path / "new" / "run.json").read_text())["run_id"] == swept.run_id
    assert not adopt_sweep(tmp_path / "new", settings, "s")  # it is known now
    assert not adopt_sweep(tmp_path / "other", settings, "another")
    identity = swept.identity
    assert finished_runs(identity.tracking_uri, identity.experiment_id, identity.run_id).keys() == {"f"}


def test_a_view_is_what_the_ui_reads(swept: Any, uri: str) -> None:
    tags = MlflowClient(uri).get_experiment(swept.identity.experiment_id).tags
    view = json.loads(tags["mlflow.sharedViewState.s"])
    assert "metrics.`test/accuracy`" in view["selectedColumns"]
    assert swept.run_id in view["searchFilter"]
    assert view["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "hybridopt.group"}]


def test_ports_that_are_in_use_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind((ui.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert ui.free_port(port) != port
        monkeypatch.setattr(ui, "TRIED", 1)
        with pytest.raises(TrackingError, match=r"are in use: type --port 0"):
            ui.free_port(port)


@pytest.mark.slow
def test_the_ui_serves_the_sweep_and_leaves_nothing_behind(swept: Any, uri: str, tmp_path: Path) -> None:
    call = [sys.executable, "-c", "from hybridopt.programs.ui import main; main()", "--uri", uri, "--port", "0"]
    served = subprocess.Popen(call, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        name, address = served.stdout.readline().split()
        page = r"http://127\.0\.0\.1:\d+/#/experiments/\d+/runs\?viewStateShareKey=s&workflowType=machine_learning"
        assert (name, bool(re.fullmatch(rf"{page}&compareRunsMode=CHART", address))) == ("curves", True), address
        port = int(re.search(r":(\d+)/", address)[1])
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=LIMIT).status == 200
        served.send_signal(signal.SIGINT)
        assert served.wait(LIMIT) == 0
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    finally:
        served.kill()
        served.stdout.close()


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium: install Debian's package chromium")
def test_a_browser_shows_jobs_and_curves_without_a_click(swept: Any, uri: str, tmp_path: Path) -> None:
    pages = Reader(uri).pages(Reader(uri).sweep("s"))
    with ui.serving(uri, ui.free_port(0)) as (address, _):
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1600,1000"]
        options += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=40000", "--dump-dom"]
        shown = {}
        for name in ("jobs", "curves"):
            command = [BROWSER, *options, f"{address}/{pages[name]}"]
            shown[name] = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True).stdout
    text = {name: re.sub(r"<[^>]+>", " ", html) for name, html in shown.items()}
    for wanted in ("Group: a on b", "a · b · seed 0", "test/accuracy", "cost/forwards", "0.5"):
        assert wanted in text["jobs"], wanted
    for wanted in ("Group: a on b", "val/accuracy"):
        assert wanted in text["curves"], wanted
