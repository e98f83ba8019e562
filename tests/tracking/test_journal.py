"""The journal keeps everything in order, and survives kills, repeated steps and full disks."""

import json
import math
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pytest

from hybridopt.errors import ResumeError, StorageError
from hybridopt.tracking import files as module
from hybridopt.tracking.files import LOCK
from hybridopt.tracking.journal import DELIVERED, Journal, read_delivered, write_delivered
from hybridopt.tracking.lines import JOURNAL, UNREADABLE, read_operations


@pytest.fixture
def journal(tmp_path: Path):
    opened = Journal(tmp_path)
    yield opened
    opened.close()


def metrics(directory: Path) -> list[tuple[int, str, float]]:
    """Step, name and value of every point, in order."""
    return [
        (operation.content["step"], name, float(value))
        for operation in read_operations(directory / JOURNAL)
        if operation.kind == "metrics"
        for name, value in operation.content["values"].items()
    ]


def test_operations_come_back_in_order(journal: Journal) -> None:
    journal.params({"lr": 0.1})
    journal.metrics({"train/loss": 1}, step=3)
    journal.tags({"seed": 7})
    journal.artifact(journal.directory / "plots" / "a.png", "plots")
    journal.artifact(Path("/elsewhere/b.png"))
    journal.status("FINISHED")
    found = [(operation.kind, operation.content) for operation in read_operations(journal.path)]
    assert [kind for kind, _ in found] == ["params", "metrics", "tags", "artifact", "artifact", "status"]
    assert found[0][1]["values"] == {"lr": "0.1"}
    assert found[2][1]["values"] == {"seed": "7"}
    assert found[3][1] == {"path": "plots/a.png", "folder": "plots"}
    assert found[4][1]["path"] == "/elsewhere/b.png"


def test_ends_are_offsets_to_read_on_from(journal: Journal) -> None:
    for step in range(3):
        journal.metrics({"loss": step}, step)
    first, second, third = read_operations(journal.path)
    assert [operation.end for operation in read_operations(journal.path, first.end)] == [second.end, third.end]
    assert third.end == journal.path.stat().st_size


def test_values_that_are_not_finite_are_kept_as_valid_json(journal: Journal) -> None:
    journal.metrics({"a": math.nan, "b": math.inf, "c": -math.inf}, step=1)
    for line in journal.path.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
    values = {name: value for _, name, value in metrics(journal.directory)}
    assert math.isnan(values["a"])
    assert (values["b"], values["c"]) == (math.inf, -math.inf)


@pytest.mark.parametrize("torn", [b'{"kind":"metrics","st', b"\x00\x00", b'{"kind":"tags","values":{}}'])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    journal = Journal(tmp_path)
    journal.metrics({"loss": 1}, step=1)
    journal.close()
    with journal.path.open("ab") as file:
        file.write(torn)
    journal = Journal(tmp_path)
    journal.metrics({"loss": 2}, step=2)
    journal.close()
    assert metrics(tmp_path) == [(1, "loss", 1), (2, "loss", 2)]


def test_a_line_that_is_not_complete_yet_is_not_read(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(b'{"kind":"tags","values":{}}\n{"kind":"tags","values":{}}')
    assert len(list(read_operations(tmp_path / JOURNAL))) == 1


GOOD = b'{"kind":"tags","values":{}}\n'


@pytest.mark.parametrize(
    "line",
    [
        b"\x00\x00",
        b"3",
        b"{}",
        b'{"kind":"tags"}',
        b'{"kind":"news","values":{}}',
        b'{"kind":"tags","values":{"a":3}}',
        b'{"kind":"params","values":{"a":"\\ud800"}}',
        b'{"kind":"metrics","time":0,"values":{"a":1}}',
        b'{"kind":"metrics","step":-1,"time":0,"values":{"a":1}}',
        b'{"kind":"metrics","step":1e30,"time":0,"values":{"a":1}}',
        b'{"kind":"metrics","step":1,"time":0,"values":{"a":"big"}}',
        b'{"kind":"metrics","step":1,"time":0,"values":[1]}',
        b'{"kind":"artifact","path":null,"folder":""}',
        b'{"kind":"status","status":"DONE","time":0}',
    ],
)
def test_a_line_that_says_nothing_is_told_apart_and_passed(tmp_path: Path, line: bytes) -> None:
    (tmp_path / JOURNAL).write_bytes(line + b"\n" + GOOD)
    found = list(read_operations(tmp_path / JOURNAL))
    assert [operation.kind for operation in found] == [UNREADABLE, "tags"]
    assert found[0].content["why"].startswith(f"the line that ends at byte {len(line) + 1}: ")
    Journal(tmp_path).close()  # goes on


def test_a_lock_or_journal_that_is_none_is_told_in_a_sentence(tmp_path: Path) -> None:
    for name in (LOCK, JOURNAL):
        (tmp_path / name / name).mkdir(parents=True)
        with pytest.raises((ResumeError, StorageError), match=rf"{name} (cannot|must) be .*: remove it"):
            Journal(tmp_path / name)
        assert list(read_operations(tmp_path / name / JOURNAL)) == []
        (tmp_path / name / name).rmdir()
        Journal(tmp_path / name).close()


def test_repeated_steps_are_ignored_and_missing_ones_taken(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.last_step == -1
    for step in (10, 20):
        journal.metrics({"train/loss": step}, step)
    journal.metrics({"val/loss": 10}, step=10)  # killed before val/loss of step 20
    journal.close()
    journal = Journal(tmp_path)
    assert journal.last_step == 20
    for step in (10, 20, 30):
        journal.metrics({"train/loss": step, "val/loss": step}, step)
    journal.metrics({"train/loss": 30.5}, step=30)  # what is new is not filtered
    journal.close()
    assert metrics(tmp_path)[3:] == [
        (20, "val/loss", 20),
        (30, "train/loss", 30),
        (30, "val/loss", 30),
        (30, "train/loss", 30.5),
    ]


def test_delivered_survives_and_is_never_beyond_the_journal(journal: Journal) -> None:
    assert read_delivered(journal.directory) == 0
    journal.tags({"a": "b"})
    size = journal.path.stat().st_size
    write_delivered(journal.directory, size)
    assert read_delivered(journal.directory) == size
    write_delivered(journal.directory, 10**6)  # the power failed before the journal was on the disk
    assert read_delivered(journal.directory) == 0


def test_what_was_delivered_of_another_journal_counts_for_nothing(tmp_path: Path) -> None:
    for name in "ab":
        journal = Journal(tmp_path / name)
        for step in range(3):
            journal.metrics({"loss": float(name == "a")}, step)
        write_delivered(journal.directory, journal.path.stat().st_size)
        assert read_delivered(journal.directory) > 0
        journal.close()
    shutil.copy(tmp_path / "a" / DELIVERED, tmp_path / "b")
    assert read_delivered(tmp_path / "b") == 0


def test_what_is_said_twice_of_a_step_is_kept_once(journal: Journal) -> None:
    journal.metrics({"cost": 1, "val": math.nan}, step=1)
    journal.metrics({"cost": 1.0, "val": math.nan, "test": 3}, step=1)
    journal.metrics({"cost": 1}, step=1)
    journal.metrics({"cost": 2}, step=1)  # another value is news
    journal.metrics({"cost": 2}, step=2)
    kept = [(step, name, value) for step, name, value in metrics(journal.directory) if name != "val"]
    assert kept == [(1, "cost", 1), (1, "test", 3), (1, "cost", 2), (2, "cost", 2)]
    assert sum(name == "val" for _, name, _ in metrics(journal.directory)) == 1


@pytest.mark.parametrize("noted", ["", "x", "-1", "5", "-1:0", "5:0", "1:2:3", "1e3:1", "9:x", "\udcff"])
def test_what_was_noted_as_delivered_ends_with_a_line_or_counts_for_nothing(journal: Journal, noted: str) -> None:
    journal.tags({"a": "b"})
    (journal.directory / DELIVERED).write_bytes(noted.encode(errors="surrogateescape"))
    assert read_delivered(journal.directory) == 0


def test_only_one_process_writes(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_PATIENCE", 0.1)
    with pytest.raises(ResumeError, match="being written by another process"):
        Journal(journal.directory)


def test_a_closed_journal_raises(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.close()
    journal.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        journal.tags({"a": "b"})


def test_a_full_disk_leaves_no_half_line(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.metrics({"loss": 1}, step=1)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    with pytest.raises(OSError, match="only 7 of"):
        journal.metrics({"loss": 2}, step=2)
    monkeypatch.undo()
    journal.metrics({"loss": 3}, step=3)
    assert metrics(journal.directory) == [(1, "loss", 1), (3, "loss", 3)]


def _log_until_killed(directory: Path) -> None:
    journal = Journal(directory)
    for step in range(10**9):
        journal.metrics({"loss": step}, step)


def test_a_killed_process_loses_nothing_and_frees_the_journal(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_log_until_killed, args=(tmp_path,))
    process.start()
    while len(metrics(tmp_path)) < 100:
        process.join(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    journal = Journal(tmp_path)
    journal.close()
    steps = [step for step, _, _ in metrics(tmp_path)]
    assert steps == list(range(len(steps)))
    assert journal.last_step == steps[-1]
