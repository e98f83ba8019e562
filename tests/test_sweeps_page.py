"""The page on sweeps is true: its commands are sweeps, of jobs that can run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typed import run_all

PAGE = (Path(__file__).parent.parent / "docs" / "sweeps.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_sweeps_are_sweeps(tmp_path: Path) -> None:
    found = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    lines = [shlex.split(line) for block in found for line in block.splitlines()]
    small = ["budget.forwards=2e4", "budget.marks=2", "seeds=1", "sweep.preview=true"]
    wanted = [[part for part in line if part.split("=")[0] not in ("seeds", "sweep.preview")] + small for line in lines]
    output = run_all(wanted, tmp_path)
    assert output.count("nothing was run") == len(lines) >= 5
    assert not (tmp_path / "multirun").exists()
