"""The allocator of the process belongs to the program: a library that changes it changes somebody's notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from jobs import LIMIT

JOB = [
    "strategy=openai_es",
    "dataset=iris",
    "budget.forwards=2e4",
    "tracking=none",
    "trainer.enable_progress_bar=false",
]
IN_PYTHON = f"""
from hybridopt import run
from hybridopt.engine.memory import keep_freed_memory
run(*{JOB})
print(keep_freed_memory.cache_info().currsize)
"""
AS_A_PROGRAM = f"""
import sys
from hybridopt.engine.memory import keep_freed_memory
from hybridopt.programs.run import main
sys.argv = ["hybridopt", *{JOB}]
main()
print(keep_freed_memory.cache_info().currsize)
"""


@pytest.mark.parametrize(("code", "changed"), [(IN_PYTHON, "0"), (AS_A_PROGRAM, "1")], ids=["python", "program"])
def test_only_the_program_changes_the_allocator(code: str, changed: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == changed
