"""Programs whose output nobody reads to the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hybridopt.programs.pipes import CUT

COMMANDS = {"run": "--cfg job", "plugins.cli": "list --json", "study": "show headline", "sync": "--dry-run"}
START = "import importlib, sys; importlib.import_module('hybridopt.programs.' + sys.argv.pop(1)).main()"


@pytest.mark.parametrize("program", COMMANDS)
def test_a_reader_that_ends_ends_the_program_without_a_word(program: str, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", START, program, *COMMANDS[program].split()],
        cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (CUT, "")
