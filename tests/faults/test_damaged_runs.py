"""Every file of a run is damaged in every way: an equal run comes of it, or a sentence, and never other numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from chains import Ground
from damage import DAMAGES, Damaged
from kills import load
from places import of_run

HALF_DONE = [
    "checkpoints/last.ckpt",
    "code.txt",
    "config.yaml",
    "digests.json",
    "journal.jsonl",
    "journal.lock",
    "run.json",
]
DELIVERED = "journal.delivered"  # of a run that is half done, it may be there or not yet
KEPT = ["checkpoints/preprocessing.json", "checkpoints/weights.safetensors", "curve.png", DELIVERED, "result.json"]
FILES = {"half_done": HALF_DONE, "finished": sorted([*HALF_DONE, *KEPT])}
UNREAD = {"finished": ("checkpoint",)}  # what nobody reads of a run in that state

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    load()
    quick = ("tracking.log_model=false", "budget.marks=4", "budget.forwards=2e4")
    return Damaged(Ground(tmp_path_factory.mktemp("damage"), template), of_run("cma_es", *quick))


@pytest.mark.parametrize("state", FILES)
def test_all_files_are_damaged(state: str, runs: Damaged) -> None:
    assert {DELIVERED, *runs.files(getattr(runs, state))} == {DELIVERED, *FILES[state]}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("state", "name"), [(state, name) for state, names in FILES.items() for name in names])
def test_damage_is_told_or_harmless(state: str, name: str, damage: Callable, runs: Damaged) -> None:
    origin = getattr(runs, state)
    ended, found = runs.resumed(origin, name, damage)
    assert "Traceback" not in ended.said
    assert ended.code in (0, 1)
    wrong = [line for line in found if line.startswith("/MLflow: ") and "/points: " in line and ", has []" not in line]
    assert not wrong
    numbers = [line for line in found if (line.startswith("/run: ") and ": result" in line) or ": checkpoint" in line]
    assert not [line for line in numbers if not line.startswith(tuple(f"/run: {one}" for one in UNREAD.get(state, ())))]
