"""What a sweep shows of its jobs, told by their directories alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hybridopt.sweep import board
from hybridopt.sweep.plan import Job
from hybridopt.tracking.lines import JOURNAL


def job(directory: Path, label: str = "adam") -> Job:
    """A job that has begun."""
    directory.mkdir()
    (directory / "config.yaml").write_text("budget: {}\n")
    (directory / JOURNAL).touch()
    return Job([], {"budget": {"forwards": 1000}}, "f", label, directory)


def finish(job: Job, **summary: float) -> None:
    (job.directory / JOURNAL).unlink()
    (job.directory / "result.json").write_text(json.dumps({"summary": summary}))


def test_the_time_that_remains_is_told_from_the_first_finished_job_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [job(tmp_path / name) for name in "abc"]
    with board.Watch(jobs) as watch:

        def shown() -> str:
            watch._look()
            watch._bar.refresh()
            return capsys.readouterr().err.split("\r")[-1]

        assert re.search(r"0 done, \d running, 0 failed \[[\d:]+\]$", shown())
        (jobs[0].directory / "traceback.txt").write_text("ValueError: no\n")
        assert re.search(r"0 done, \d running, 1 failed \[[\d:]+\]$", shown())
        finish(jobs[1])
        assert re.search(r"1 done, \d running, 1 failed \[[\d:]+<[\d:]+\]$", shown())
