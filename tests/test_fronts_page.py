"""The page on several objectives is true: its commands run, its search is one, and its tables have what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typed import run_all

from hybridopt.composition.building import build
from hybridopt.core.objective import WeightObjective
from hybridopt.toolbox.fronts import RULES

PAGE = (Path(__file__).parent.parent / "docs" / "fronts.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|bash)\n(.*?)```", PAGE, re.DOTALL)
SMALL = ["dataset=iris", "dataset.batch_size=16", "model.hidden=[4]", "budget.forwards=2e4", "budget.marks=4"]
RUN = re.compile(r"outputs/\S+")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_blocks_run_one_after_the_other(tmp_path: Path) -> None:
    lines = []
    for language, text in BLOCKS:
        if language == "python":
            (tmp_path / text.split()[1]).write_text(text)
        else:
            lines += [shlex.split(line) for line in text.splitlines()]
    first, *others = lines
    run_all([[*first, *SMALL]], tmp_path)
    (made,) = tmp_path.glob("outputs/*/*")
    run_all([small(line, made) for line in others], tmp_path)
    found = sorted(tmp_path.glob("outputs/*/*"))
    assert all((each / "front.parquet").exists() for each in found)
    assert len(found) == 2
    assert (found[0] / "front_0" / "weights.safetensors").exists()


def small(line: list[str], made: Path) -> list[str]:
    """A line of the page, on a small job, of the first run where it names one."""
    program, *arguments = [str(made) if RUN.fullmatch(each) else each for each in line]
    return [program, *arguments, *(SMALL if program == "hybridopt" else [])]


def test_the_table_has_every_objective_that_reads_weights_and_every_rule() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    ours = {"zero_weights", "size", "flops", "l1_norm"}
    assert ours <= set(named)
    assert all(isinstance(build("objective", {"name": name}), WeightObjective) for name in ours)
    assert set(RULES) <= set(named)
