"""A run's directory is a transaction: one owner, nothing written by what is refused, every kill healed."""

from __future__ import annotations

import errno
import os
import pkgutil
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from jobs import SMALL
from pytorch_lightning import Trainer

from hybridopt.errors import ConfigError, HybridoptError, ResumeError, StorageError, TrackingError
from hybridopt.execution import experiment
from hybridopt.execution.checkpoint import DIGESTS, FILE
from hybridopt.execution.directory import State, state
from hybridopt.execution.identity import read_config, write_config
from hybridopt.tracking import files

Composed = Callable[..., dict[str, Any]]
QUICK = [*SMALL, "strategy=adam", "budget.forwards=3e3", "trainer.enable_progress_bar=false"]
TRACKED = [*(override for override in QUICK if override != "tracking=none"), "tracking.log_model=false"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # of a process that is killed at once
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]


class Stopped(Exception):
    """Ends a run in its middle."""


def resume(directory: Path) -> Any:
    return experiment.run({"resume": str(directory)}, directory)


def contents(directory: Path) -> dict[str, bytes]:
    """Everything in a directory but the lock, which exists from the first start on."""
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def stop(config: Mapping[str, Any], directory: Path) -> Path:
    """Run until the last checkpoint, and not to the end."""

    def stopping(*_: object, **__: object) -> None:
        raise Stopped

    with pytest.MonkeyPatch.context() as patched, pytest.raises(Stopped):  # noqa: PT012
        patched.setattr(Trainer, "test", stopping)
        experiment.run(config, directory)
    (directory / "traceback.txt").unlink()
    return directory


@pytest.fixture
def half_done(composed: Composed, tmp_path: Path) -> Path:
    """A run that was stopped after its last checkpoint."""
    return stop(composed(*QUICK), tmp_path / "run")


def killed(config: Mapping[str, Any], directory: Path, place: str, name: str) -> None:
    """Run in a process that is killed when a function has returned for the first time."""
    where = pkgutil.resolve_name(place)
    former = getattr(where, name)

    def deadly(*args: Any, **kwargs: Any) -> None:
        former(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            setattr(where, name, deadly)
            experiment.run(config, directory)
        finally:
            os._exit(1)  # not reached
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def runs(uri: str) -> list[Any]:
    """All runs of a store."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    return list(client.search_runs([each.experiment_id for each in client.search_experiments()]))


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("hybridopt.execution.transaction", "write_config"),
        ("hybridopt.tracking.identity", "_create_run"),
        ("hybridopt.tracking.identity", "write_identity"),
        ("hybridopt.execution.experiment:Result", "save"),
        ("hybridopt.tracking.journal:Journal", "status"),  # FINISHED, the first one that a new run has
    ],
)
def test_whoever_goes_on_after_a_kill_ends_the_same_run(
    place: str, name: str, composed: Composed, uri: str, tmp_path: Path
) -> None:
    config, directory = composed(*TRACKED, f"tracking.uri={uri}"), tmp_path / "run"
    killed(config, directory, place, name)
    (directory / f"config.yaml.77{files.PARTIAL}").touch()
    resume(directory)
    (run,) = runs(uri)
    assert run.info.status == "FINISHED"
    assert {"final/val/loss", "test/loss"} <= run.data.metrics.keys()
    assert state(directory) == State.FINISHED
    assert not list(directory.rglob(f"*{files.PARTIAL}"))


def test_the_page_of_a_failed_run_says_why_and_how_to_run_it_again(
    composed: Composed, uri: str, tmp_path: Path
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("a line\nand a `last` one")

    config, directory = composed(*TRACKED, f"tracking.uri={uri}"), tmp_path / "run"
    with pytest.MonkeyPatch.context() as patched, pytest.raises(RuntimeError):  # noqa: PT012
        patched.setattr(Trainer, "test", fails)
        experiment.run(config, directory, more_tags={"hybridopt.command": "hybridopt seed=0"})
    ((failed,), command) = runs(uri), "```bash\nhybridopt seed=0\n```"
    assert failed.data.tags["hybridopt.failure"] == "and a 'last' one"
    assert failed.data.tags["mlflow.note.content"] == f"**Failed:** `and a 'last' one`\n\n{command}"
    resume(directory)
    (went_on,) = runs(uri)
    assert went_on.data.tags["hybridopt.failure"] == "none, since it went on"
    assert went_on.data.tags["mlflow.note.content"] == command


def test_a_directory_has_one_owner(composed: Composed, half_done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOCK_PATIENCE", 0.1)
    before = contents(half_done)
    with FileLock(half_done / files.LOCK):
        for start in (lambda: resume(half_done), lambda: experiment.run(composed(*QUICK, "seed=9"), half_done)):
            with pytest.raises(ResumeError, match="is being written by another process"):
                start()
        assert contents(half_done) == before
    new = half_done.with_name("new")
    new.mkdir()
    with FileLock(new / files.LOCK), pytest.raises(ResumeError, match="is being written by another process"):
        experiment.run(composed(*QUICK), new)
    assert list(contents(new)) == [files.LOCK]


def test_a_run_that_is_refused_has_written_nothing(composed: Composed, half_done: Path, tmp_path: Path) -> None:
    other = composed(*QUICK, "seed=9", "strategy.lr=0.5")
    before = contents(half_done)
    with pytest.raises(ConfigError, match=r"already holds a run: type resume=.*start_over=true to delete it"):
        experiment.run(other, half_done)
    assert contents(half_done) == before
    (half_done / "config.yaml").unlink()
    before = contents(half_done)
    with pytest.raises(ConfigError, match=r"journal.jsonl of a run that has lost its config.yaml: add start_over=true"):
        experiment.run(other, half_done)
    with pytest.raises(ResumeError, match=r"has lost its config.yaml: put it back, or begin again by the command"):
        resume(half_done)
    assert contents(half_done) == before
    away = composed(*TRACKED, "tracking.uri=sqlite:////proc/no/mlflow.db")
    with pytest.raises(TrackingError):
        experiment.run(away, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(StorageError, match=r"The directory /proc/x cannot be written .*: name another one"):
        experiment.run(other, Path("/proc/x"))


def test_a_run_is_started_over_by_one_option(composed: Composed, half_done: Path) -> None:
    (half_done / "config.yaml").write_text("")
    (half_done / "notes.txt").write_text("the user's own")
    experiment.run(composed(*QUICK, "seed=9", "start_over=true"), half_done)
    assert state(half_done) == State.FINISHED
    assert read_config(half_done)["seed"] == 9
    assert (half_done / "notes.txt").exists()
    assert resume(half_done).summary == resume(half_done).summary


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "- a\n- list\n",
        lambda text: text.replace("3000", "3001"),
        lambda text: text + "\x00",
        lambda text: text.replace("seed:", "sead:"),
    ],
)
def test_a_damaged_config_is_told(damage: Callable[[str], str], half_done: Path) -> None:
    path = half_done / "config.yaml"
    path.write_text(damage(path.read_text()))
    with pytest.raises(ResumeError, match=r"config.yaml is damaged, or was edited .* start_over=true"):
        resume(half_done)


def test_no_byte_of_a_checkpoint_may_differ(half_done: Path) -> None:
    path, whole = half_done / FILE, (half_done / FILE).read_bytes()
    weights = torch.load(path, weights_only=True)["state_dict"]
    place = whole.index(next(value for name, value in weights.items() if name.endswith("weight")).numpy().tobytes())
    pickled = whole.index(DIGESTS.encode())  # what is between the records is padding, and nobody's
    damaged = [whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :] for at in (place, place + 9, pickled)]
    before = contents(half_done)
    for content in [b"", b"no checkpoint", whole[: len(whole) // 2], *damaged]:
        path.write_bytes(content)
        with pytest.raises(ResumeError, match=r"The checkpoint .* is damaged"):
            resume(half_done)
    torch.save({}, path)
    with pytest.raises(ResumeError, match="was not written by this version"):
        resume(half_done)
    torch.save({DIGESTS: {}, "x": Path("x")}, path)
    with pytest.raises(ResumeError, match="is not trusted: put the former one"):
        resume(half_done)
    path.unlink()
    path.mkdir()
    with pytest.raises(ResumeError, match="is damaged"):
        resume(half_done)
    path.rmdir()
    path.write_bytes(whole)
    assert contents(half_done) == before
    resume(half_done)


def test_a_folder_where_a_file_should_be_is_told(half_done: Path) -> None:
    (half_done / "code.txt").unlink()
    (half_done / "code.txt").mkdir()
    with pytest.raises(StorageError, match=r"There is a folder where a file should be.*code\.txt.*: move it away"):
        resume(half_done)
    (half_done / "code.txt").rmdir()
    resume(half_done)


@pytest.mark.parametrize(
    ("group", "change", "named"),
    [
        ("strategy", {"name": "sgd"}, "setting strategy"),
        ("model", {"name": "mlp", "hidden": [5]}, "setting model, another network"),
        ("seed", 1, "setting seed"),
    ],
)
def test_another_config_does_not_go_on_from_a_checkpoint(group: str, change: Any, named: str, half_done: Path) -> None:
    write_config(read_config(half_done) | {group: change}, half_done)
    with pytest.raises(ResumeError, match=f"belongs to a run with another {named}: put"):
        resume(half_done)


def test_other_data_at_the_same_place_are_noticed(composed: Composed, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("\n".join(["a,b,y", *(f"{i},{i * i % 7},{'pq'[i % 2]}" for i in range(60))]))
    quick = [override for override in QUICK if "dataset" not in override]
    directory = stop(composed(*quick, "dataset=arrays", f"dataset.path={data}", "dataset.target=y"), tmp_path / "run")
    data.write_text(data.read_text().replace("59,", "58,"))
    with pytest.raises(ResumeError, match=r"belongs to a run with other contents of dataset.path, other data:"):
        resume(directory)


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("hybridopt.execution.directory", "write_atomically"),  # code.txt, and the traceback
        ("hybridopt.execution.result", "write_atomically"),
        ("hybridopt.execution.experiment", "plot_curve"),
        ("hybridopt.tracking.journal:Journal", "metrics"),
        ("hybridopt.tracking.journal:Journal", "status"),
    ],
)
def test_a_full_disk_ends_a_run_as_failed_with_a_sentence(
    place: str, name: str, composed: Composed, uri: str, tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pkgutil.resolve_name(place), name, full)
        with pytest.raises(StorageError, match=r"No space left on device\): make room, and type hybridopt resume="):
            experiment.run(composed(*TRACKED, f"tracking.uri={uri}"), directory)
    assert [run.info.status for run in runs(uri)] == ["FAILED"]
    assert state(directory) != State.FINISHED
    resume(directory)
    assert [run.info.status for run in runs(uri)] == ["FINISHED"]


def test_a_directory_that_is_removed_meanwhile_is_no_success(
    composed: Composed, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "run"
    monkeypatch.setattr(Trainer, "test", lambda *_, **__: shutil.rmtree(directory))
    with pytest.raises(HybridoptError, match="was removed, moved or replaced while its run went on"):
        experiment.run(composed(*TRACKED, f"tracking.uri={uri}"), directory)
    assert [run.info.status for run in runs(uri)] == ["FAILED"]
    assert not directory.exists()
