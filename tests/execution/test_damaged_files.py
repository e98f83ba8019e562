"""Files of a run that something has damaged: one sentence each, which names the file and what to do about it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from jobs import SMALL

from hybridopt.composition.compose import compose, plain_values
from hybridopt.errors import ResumeError
from hybridopt.execution import experiment
from hybridopt.execution.checkpoint import FILE
from hybridopt.execution.directory import CODE_FILE, CONFIG_FILE, RESULT_FILE, State, codes, state
from hybridopt.execution.identity import read_config
from hybridopt.sweep.board import summary
from hybridopt.sweep.parent import SWEEP_FILE, part_of
from hybridopt.tracking.lines import JOURNAL

QUICK = (*SMALL, "strategy=adam", "budget.forwards=2e3", "trainer.enable_progress_bar=false")
GARBAGE = [
    b"",
    b"\x00" * 100,
    b"[1",
    b"[1]",
    b"null",
    b"7",
    b"\xff\xfe\x00",
    b"{}",
    b"{'a': b}",
    b'{"summary": {"a": "b"}}',
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("finished") / "run"
    experiment.run(plain_values(compose(*QUICK)), directory)
    return directory


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def resumed(directory: Path) -> Any:
    return experiment.run({"resume": str(directory)}, directory)


def assert_told(directory: Path, file: str) -> None:
    """A sentence, which names the file and a way out."""
    with pytest.raises(ResumeError, match=rf"{file} (of the finished run )?is damaged.* \(.+\): .+\.$") as told:
        resumed(directory)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("file", [CONFIG_FILE, RESULT_FILE])
def test_config_and_result(run: Path, file: str) -> None:
    whole = (run / file).read_bytes()
    for content in [*GARBAGE, whole[: len(whole) // 2]]:
        (run / file).write_bytes(content)
        assert_told(run, file)
    (run / file).unlink()
    (run / file).mkdir()
    assert_told(run, file)


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", "x"), ("budget", None), ("budget", {"marks": "many"}), ("strategy", 5), ("model", {"name": 5}),
     ("nope", 1), ("trainer", []), ("tracking", {"uri": "x"}), ("dataset", None)],
)  # fmt: skip
def test_a_config_is_that_of_a_job(run: Path, key: str, value: Any) -> None:
    config = read_config(run)
    (run / CONFIG_FILE).write_text(json.dumps(config | {key: value}))
    assert_told(run, CONFIG_FILE)
    del config["threads"]
    (run / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(ResumeError, match="it lacks threads"):
        read_config(run)


def test_a_result_comes_back_as_it_was_and_a_damaged_one_shows_no_numbers(run: Path) -> None:
    before = json.loads((run / RESULT_FILE).read_text())
    assert summary(run) == before["summary"]
    again = json.loads(resumed(run).save(before["journal"]).read_text())
    assert again.pop("directory") == str(run)  # where it is now
    assert again | {"directory": before["directory"], "sha256": before["sha256"]} == before
    (run / RESULT_FILE).write_text('{"summary": {"cost/forwards": null}}')
    assert summary(run) == {}


@pytest.mark.parametrize("damage", ["empty", "half", "zeros", "text", "pickle", "other", "part", "shape", "directory"])
def test_checkpoint(run: Path, damage: str) -> None:
    (run / RESULT_FILE).unlink()
    path = run / FILE
    whole, state = path.read_bytes(), torch.load(path, weights_only=True)
    path.unlink()
    if damage == "directory":
        path.mkdir()
    elif damage in ("other", "part", "shape", "pickle"):
        kept = {"other": {}, "part": state | {"hybridopt": 5}, "pickle": {**state, "path": Path("x")}}
        shape = {name: torch.zeros(3) for name in state["state_dict"]}
        torch.save(kept.get(damage, state | {"state_dict": shape}), path)
    else:
        path.write_bytes(
            {"empty": b"", "half": whole[: len(whole) // 2], "zeros": bytes(len(whole))}.get(damage, b"text")
        )
    with pytest.raises(
        ResumeError, match=r"The checkpoint .*: put the former one, and what it was made with, back"
    ) as told:
        resumed(run)
    assert "weights_only" not in str(told.value)
    assert "\n" not in str(told.value)


def lose(journal: Path, damage: str, others: Path) -> None:
    """Damage a journal so that points of the past are not in it any more."""
    if damage == "gone":
        journal.unlink()
    elif damage == "another's":
        shutil.copy(others, journal)
    else:
        lines = journal.read_bytes().splitlines(keepends=True)
        metrics = [number for number, line in enumerate(lines) if b'"kind":"metrics"' in line]
        journal.write_bytes({"emptied": b"", "cut": b"".join(lines[: metrics[2] + 1])}[damage])


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a run with another seed."""
    directory = tmp_path_factory.mktemp("other") / "run"
    experiment.run(plain_values(compose(*QUICK, "seed=7")), directory)
    return directory / JOURNAL


@pytest.mark.parametrize("damage", ["emptied", "cut", "gone", "another's"])
@pytest.mark.parametrize("half_done", [True, False])
def test_a_journal_that_lost_what_was_told_is_no_end_and_no_beginning(
    run: Path, damage: str, half_done: bool, others: Path
) -> None:
    if half_done:
        (run / RESULT_FILE).unlink()
    lose(run / JOURNAL, damage, others)
    if not half_done and damage in ("gone", "another's"):
        assert resumed(run).summary["cost/forwards"]  # the numbers are in the result, which has a checksum of its own
        return
    with pytest.raises(ResumeError, match=r"journal\.jsonl (lacks what the run|is the journal of another).*: put "):
        resumed(run)
    assert state(run) == State.HALF_DONE


def test_what_is_only_told_to_people_ends_nothing(run: Path) -> None:
    (run / CODE_FILE).write_bytes(b"\xff\xfe\n")
    assert len(codes(run)) == 1


@pytest.mark.parametrize("content", GARBAGE)
def test_what_a_sweep_tells_its_jobs(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SWEEP_FILE).write_bytes(content)
    with pytest.raises(ResumeError, match=r"sweep\.json is damaged \(.+\): type the command of the sweep again\.$"):
        part_of(tmp_path, tmp_path / "job")
