"""What a sweep shows of its jobs, told by their directories alone."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from hybridopt.sweep import board
from hybridopt.sweep.plan import Job
from hybridopt.sweep.watch import Watch
from hybridopt.tracking.lines import JOURNAL


def job(directory: Path, label: str = "adam") -> Job:
    """A job that has begun."""
    directory.mkdir()
    (directory / "config.yaml").write_text("budget: {}\n")
    (directory / JOURNAL).touch()
    return Job([], {"budget": {"forwards": 1000}}, "f", label, directory)


def finish(job: Job, **summary: float | str) -> None:
    (job.directory / JOURNAL).unlink(missing_ok=True)
    (job.directory / "result.json").write_text(json.dumps({"summary": summary}))


def test_the_time_that_remains_is_told_from_the_first_finished_job_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [job(tmp_path / name) for name in "abc"]
    with Watch(jobs) as watch:

        def shown() -> str:
            watch._look()
            watch._bar.refresh()
            return capsys.readouterr().err.split("\r")[-1]

        assert re.search(r"0 done, \d running, 0 failed \[[\d:]+\]$", shown())
        (jobs[0].directory / "traceback.txt").write_text("ValueError: no\n")
        assert re.search(r"0 done, \d running, 1 failed \[[\d:]+\]$", shown())
        finish(jobs[1])
        assert re.search(r"1 done, \d running, 1 failed \[[\d:]+<[\d:]+\]$", shown())


@pytest.mark.parametrize(
    ("summary", "word", "shown"),
    [
        ({"final/val/loss": math.nan, "test/loss": 1.0}, "ran, diverged", "nan"),
        ({"final/val/loss": -math.inf, "best/val/loss": 0.5}, "ran, diverged", "-inf"),
        ({"final/val/loss": 1.234e30, "best/val/loss": 0.5}, "ran, loss grew", "1.2e+30"),
        ({"final/val/loss": 3e25, "best/val/loss": 3e25}, "ran, loss grew", "3.0e+25"),
        ({"final/val/loss": 2e6, "best/val/loss": 1e6}, "ran", "2,000,000.0"),
        ({"final/val/loss": 30.0, "best/val/loss": 0.001}, "ran", "30.0000"),
        ({"best/val/loss": 0.001}, "ran", ""),
    ],
)
def test_a_job_whose_numbers_are_of_no_use_is_marked(
    summary: dict[str, float], word: str, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = job(tmp_path / "job", "sgd · iris · seed 0")
    summary = summary | {"cost/forwards": 100.0, "cost/seconds": 1.0}
    finish(made, **{name: str(value) if not math.isfinite(value) else value for name, value in summary.items()})
    outcome = board.outcome(made, True, False, None)
    assert str(outcome) == word
    drawn = board.table([made], [outcome], "final/val/loss")
    assert list(drawn.columns[2].cells) == [shown]
    board.print_table([made], [outcome], "final/val/loss")
    said = capsys.readouterr().out
    assert ("take smaller steps" in said) == (word != "ran") == (f"{word[5:]}: sgd · iris · seed 0 (final" in said)
