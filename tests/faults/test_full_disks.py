"""Disks that are full at so many bytes: a sentence, and with room again the run ends as if nothing had happened."""

from __future__ import annotations

import pytest
from chains import Ground, Outcome, finish
from compare import differences, left
from damage import limit
from kills import Program
from places import of_run

QUICK = ("budget.forwards=3e4", "budget.marks=4")
SIZES = [0, 100, 1000, 2500, 5000, 9000, 14_000, 20_000, 40_000]  # bytes that a file may have

LARGEST = 40_000  # bytes, which no file of the run has
FAILED_ONCE = "/run: journal/artifacts: lacks [], has ['traceback.txt']"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tracking", ["tracking=none", "tracking.log_model=false"])
def test_a_full_disk_is_told_and_loses_nothing(tracking: str, size: int, ground: Ground) -> None:
    case = of_run("es_then_adam", tracking, *QUICK)
    expected, _ = ground.undisturbed(case)
    folder = ground.folder()
    ended = Program(case.arguments, folder, limit(size)).end()
    assert ended.code == 1 or (ended.code == 0 and size >= LARGEST)
    assert "Traceback" not in ended.said
    if ended.code and size >= 1000:  # what is said goes to a file, too
        assert "cannot be written" in ended.said or "No run can be kept there" in ended.said
    outcome = Outcome(case, [])
    finish(case, folder, outcome)
    found = outcome.differences + differences(expected, left(folder))
    assert not [line for line in found if line != FAILED_ONCE]
