"""What leaves this machine: files of the run's directory alone, and only to a store that the user has named."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hybridopt.errors import TrackingError
from hybridopt.programs import sync
from hybridopt.tracking import trust
from hybridopt.tracking.delivery import deliver_leftovers, undelivered
from hybridopt.tracking.identity import IDENTITY
from hybridopt.tracking.lines import JOURNAL
from hybridopt.tracking.tracker import Tracker, open_tracker


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the user's, beside the run's directory."""
    path = tmp_path / "private.txt"
    path.write_text("SECRET")
    return path


@pytest.fixture
def tracker(settings: dict, tmp_path: Path) -> Tracker:
    """A run, in a directory into which somebody may have put what they liked."""
    return open_tracker(settings, tmp_path / "run", run_name="a")


@pytest.fixture
def foreign(tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a run that somebody else has made, from which something waits to be delivered."""
    tracker.set_tags({"a": "1"})
    tracker.finish("FINISHED")
    (tmp_path / "run" / "journal.delivered").write_text("0")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "run"


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["absolute", "up", "link", "link to a folder", "link in a folder", "through a link"])
def test_no_file_from_outside_is_uploaded(
    way: str, tracker: Tracker, secret: Path, uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    run, outside = tracker.directory, secret.parent / "outside"
    outside.mkdir()
    (outside / "private.txt").write_text("SECRET")
    (run / "folder").mkdir()
    (run / "folder" / "good.txt").write_text("good")
    link, target, path = {
        "absolute": (None, None, str(secret)),
        "up": (None, None, "folder/../../private.txt"),
        "link": ("link.txt", secret, "link.txt"),
        "link to a folder": ("linked", outside, "linked"),
        "link in a folder": ("folder/link.txt", secret, "folder"),
        "through a link": ("linked", outside, "linked/private.txt"),
    }[way]
    if link is not None and target is not None:
        (run / link).symlink_to(target)
    with (run / JOURNAL).open("a") as journal:
        journal.write(json.dumps({"kind": "artifact", "path": path, "folder": ""}) + "\n")
    with caplog.at_level(logging.WARNING):
        assert tracker.finish("FINISHED") == 1
    assert "outside of the run's directory" in caplog.text
    client = MlflowClient(uri)
    assert client.list_artifacts(tracker.run_id) == []
    assert client.get_run(tracker.run_id).info.status == "FINISHED"  # what follows is delivered


def test_files_of_the_directory_are_uploaded_by_links_too(tracker: Tracker, uri: str) -> None:
    (tracker.directory / "folder").mkdir()
    (tracker.directory / "folder" / "good.txt").write_text("good")
    (tracker.directory / "link.txt").symlink_to("folder/good.txt")
    for name in ("folder", "link.txt"):
        tracker.log_artifact(tracker.directory / name)
    assert tracker.finish("FINISHED") == 0
    assert [item.path for item in MlflowClient(uri).list_artifacts(tracker.run_id)] == ["folder", "link.txt"]


# -- stores -----------------------------------------------------------------------------------------------------------


def test_the_store_that_a_directory_names_gets_nothing(foreign: Path, uri: str, settings: dict) -> None:
    for attempt in (
        lambda: deliver_leftovers(foreign),
        lambda: deliver_leftovers(foreign, "http://another"),
        lambda: open_tracker(settings | {"uri": None}, foreign, run_name="a", resume=True),
    ):
        with pytest.raises(TrackingError, match=r"no run of yours has been there.* --uri sqlite:"):
            attempt()
    assert undelivered(foreign) > 0


def test_the_default_program_leaves_it_alone_and_says_why(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        sync.main([str(foreign)])
    assert stopped.value.code == 1
    assert "no run of yours has been there" in " ".join(capsys.readouterr().out.split())
    assert undelivered(foreign) > 0


@pytest.mark.parametrize("way", ["argument", "environment", "own", "here"])
def test_a_store_that_the_user_names_gets_it(
    way: str, foreign: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "environment":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    elif way == "own":
        trust.remember(uri)
    elif way == "here":
        monkeypatch.chdir(foreign.parent)  # where the default store is this one
    with pytest.raises(SystemExit) as stopped:
        sync.main([str(foreign), *(["--uri", uri] if way == "argument" else [])])
    assert stopped.value.code == 0
    assert undelivered(foreign) == 0


def test_a_new_run_notes_its_store_once_and_without_credentials(foreign: Path, settings: dict, tmp_path: Path) -> None:
    for name in ("one", "two"):
        open_tracker(settings, tmp_path / name, run_name="a").finish("FINISHED")
    trust.remember("http://joe:password@tracker/")
    trust.remember("http://tracker")
    noted = trust.own_stores().read_text().splitlines()
    assert noted == [f"sqlite:///{(tmp_path / 'mlflow.db').resolve()}", "http://tracker"]
    trust.check_named("http://***@tracker", [], foreign)


def test_a_note_that_cannot_be_kept_spoils_no_run(
    foreign: Path, settings: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert open_tracker(settings, tmp_path / "one", run_name="a").finish("FINISHED") == 0


def test_another_server_is_another_store(foreign: Path) -> None:
    note = json.loads((foreign / IDENTITY).read_text())
    (foreign / IDENTITY).write_text(json.dumps(note | {"tracking_uri": "http://tracker.evil"}))
    trust.remember("http://tracker")
    with pytest.raises(TrackingError, match=r"http://tracker\.evil"):
        deliver_leftovers(foreign, "http://tracker")
