"""The README's commands name what there is."""

import re
import shlex
from pathlib import Path

import pytest

from hybridopt import build, compose

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
COMMANDS = [shlex.split(line) for block in BLOCKS for line in block.splitlines() if line.startswith("hybridopt ")]


def first(part: str) -> str:
    """Of a sweep over a setting, the first value."""
    return part.partition(",")[0]


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_commands_can_be_built(command: list[str]) -> None:
    overrides = [first(part) for part in command[1:] if part != "-m" and not part.startswith("seeds=")]
    parts = build(compose(*overrides, "tracking=none", "trainer.enable_progress_bar=false"))
    assert parts.datamodule.spec.input_shape == (40,)
