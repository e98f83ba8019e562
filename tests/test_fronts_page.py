"""The page on several objectives is true: its commands run, its search is one, and its tables have what there is."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import LIMIT

from hybridopt.composition.building import build
from hybridopt.core.objective import WeightObjective
from hybridopt.toolbox.fronts import RULES

PAGE = (Path(__file__).parent.parent / "docs" / "fronts.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|bash)\n(.*?)```", PAGE, re.DOTALL)
SMALL = ["dataset=iris", "dataset.batch_size=16", "model.hidden=[4]", "budget.forwards=2e4", "budget.marks=4"]
RUN = re.compile(r"outputs/\S+")
FRONT = "from hybridopt.programs.front import main; main()"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_blocks_run_one_after_the_other(tmp_path: Path) -> None:
    for language, text in BLOCKS:
        if language == "python":
            (tmp_path / text.split()[1]).write_text(text)
        else:
            for line in text.splitlines():
                run(line, tmp_path)
    found = sorted(tmp_path.glob("outputs/*/*"))
    assert all((each / "front.parquet").exists() for each in found)
    assert len(found) == 2
    assert (found[0] / "front_0" / "weights.safetensors").exists()


def run(line: str, directory: Path) -> None:
    """A line of the page, on a small job, of the first run where it names one."""
    program, *arguments = shlex.split(line)
    made = sorted(directory.glob("outputs/*/*"))
    arguments = [str(made[0]) if RUN.fullmatch(each) else each for each in arguments]
    own = ["-m", "hybridopt"] if program == "hybridopt" else ["-c", FRONT]
    command = [sys.executable, *own]
    small = SMALL if program == "hybridopt" else []
    done = subprocess.run(
        [*command, *arguments, *small], cwd=directory, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_table_has_every_objective_that_reads_weights_and_every_rule() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    ours = {"zero_weights", "size", "flops", "l1_norm"}
    assert ours <= set(named)
    assert all(isinstance(build("objective", {"name": name}), WeightObjective) for name in ours)
    assert set(RULES) <= set(named)
