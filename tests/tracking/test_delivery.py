"""What a journal holds reaches MLflow, once and in order, sooner or later; one bad operation spoils no other."""

import math
from pathlib import Path

import pytest
from stored import client, steps, wait_until

from hybridopt.errors import TrackingError
from hybridopt.tracking.delivery import deliver_leftovers
from hybridopt.tracking.journal import DELIVERED, Journal, read_delivered
from hybridopt.tracking.lines import JOURNAL
from hybridopt.tracking.tracker import open_tracker
from hybridopt.tracking.writer import MlflowWriter

# MLflow 3.17's own models use a loader strategy that SQLAlchemy 2.1 deprecates; said when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

NONE = {"name": "none"}


def test_delivering_everything_again_changes_nothing(settings: dict, tmp_path: Path) -> None:
    tracker = open_tracker(settings, tmp_path / "run", run_name="a")
    tracker.log_params({"lr": 0.1})
    for step in range(50):
        tracker.log_metrics({"loss": 1.0, "odd": math.nan}, step)
    tracker.finish("FINISHED")
    (tmp_path / "run" / DELIVERED).unlink()
    assert deliver_leftovers(tmp_path / "run") == 0
    assert steps(settings["uri"], tracker.run_id, "loss") == list(range(50))
    assert steps(settings["uri"], tracker.run_id, "odd") == list(range(50))
    assert client(settings["uri"]).get_run(tracker.run_id).info.status == "FINISHED"


def test_leftovers_are_counted_until_the_store_is_back(
    settings: dict, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory, database = tmp_path / "run", tmp_path / "mlflow.db"
    tracker = open_tracker(settings, directory, run_name="a")
    tracker.finish("KILLED")
    journal = Journal(directory)
    journal.metrics({"loss": 1.0}, step=1)
    journal.status("FINISHED")
    journal.close()
    database.rename(tmp_path / "away.db")
    assert deliver_leftovers(directory) == 2
    assert "There is no MLflow store at" in caplog.text
    assert not database.exists()
    (tmp_path / "away.db").rename(database)
    assert deliver_leftovers(directory) == 0
    assert steps(settings["uri"], tracker.run_id, "loss") == [1]


def test_a_run_that_mlflow_never_knew_has_no_leftovers(tmp_path: Path) -> None:
    tracker = open_tracker(NONE, tmp_path, run_name="a")
    tracker.set_tags({"a": "b"})
    tracker.finish("FINISHED")
    assert deliver_leftovers(tmp_path) == 0


def test_one_bad_operation_spoils_no_other(settings: dict, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = open_tracker(settings, tmp_path / "run", run_name="a")
    for step in range(20):
        tracker.log_metrics({"../outside" if step == 13 else "loss": 1.0}, step)
    tracker.log_artifact(tmp_path / "run" / "gone.ckpt")
    tracker.set_tags({"last": "yes"})
    assert tracker.finish("FINISHED") == 2
    assert steps(settings["uri"], tracker.run_id, "loss") == [step for step in range(20) if step != 13]
    assert client(settings["uri"]).get_run(tracker.run_id).data.tags["last"] == "yes"
    assert "MLflow refuses metrics" in caplog.text
    assert "gone.ckpt is gone" in caplog.text


def test_closed_artifacts_do_not_hold_up_the_rest(settings: dict, tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("a file where the artifacts' folder should be")
    tracker = open_tracker(settings, tmp_path / "run", run_name="a")
    (tmp_path / "run" / "plot.txt").write_text("a plot")
    tracker.log_artifact(tmp_path / "run" / "plot.txt")
    tracker.log_metrics({"loss": 1.0}, step=1)
    assert tracker.finish("FINISHED") == 1
    assert steps(settings["uri"], tracker.run_id, "loss") == [1]


def test_a_deleted_run_keeps_its_journal_until_it_is_restored(
    settings: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybridopt.tracking.writer.AWAY", 1.0)
    tracker = open_tracker(settings, tmp_path / "run", run_name="a")
    client(settings["uri"]).delete_run(tracker.run_id)
    tracker.log_metrics({"loss": 1.0}, step=1)
    assert tracker.finish("FINISHED") == 2
    with pytest.raises(TrackingError, match="was deleted: type mlflow runs restore --run-id"):
        open_tracker(settings, tmp_path / "run", run_name="a", resume=True)
    client(settings["uri"]).restore_run(tracker.run_id)
    assert deliver_leftovers(tmp_path / "run") == 0
    assert steps(settings["uri"], tracker.run_id, "loss") == [1]


def test_the_journal_is_delivered_while_the_run_goes_on(settings: dict, tmp_path: Path) -> None:
    tracker = open_tracker(settings, tmp_path / "run", run_name="a")
    tracker.log_metrics({"loss": 1.0}, step=1)
    wait_until(lambda: read_delivered(tmp_path / "run") > 0)
    assert steps(settings["uri"], tracker.run_id, "loss") == [1]
    tracker.finish("FINISHED")


def test_a_writer_starts_where_another_stopped(settings: dict, tmp_path: Path) -> None:
    tracker = open_tracker(settings, tmp_path / "run", run_name="a")
    tracker.log_metrics({"loss": 1.0}, step=1)
    tracker.finish("KILLED")
    delivered = read_delivered(tmp_path / "run")
    assert delivered == (tmp_path / "run" / JOURNAL).stat().st_size
    assert MlflowWriter(tmp_path / "run", settings["uri"], tracker.run_id)._delivered == delivered


def test_lines_that_say_nothing_are_set_aside_once(
    settings: dict, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = open_tracker(settings, tmp_path / "run", run_name="a")
    assert tracker.finish("FINISHED") == 0
    good = '{"kind":"metrics","step":%d,"time":0,"values":{"loss":1}}\n'
    with (tmp_path / "run" / JOURNAL).open("a") as journal:
        journal.write('{"kind":"news"}\n' + good % 1 + '{"kind":"metrics","values":{"loss":1}}\n' + good % 2 + "[\n")
    assert deliver_leftovers(tmp_path / "run") == 3
    assert steps(settings["uri"], tracker.run_id, "loss") == [1, 2]
    assert caplog.text.count("has an unreadable line, which is set aside: the line that ends at byte") == 3
    assert deliver_leftovers(tmp_path / "run") == 0
    assert caplog.text.count("has an unreadable line, which is set aside: the line that ends at byte") == 3
