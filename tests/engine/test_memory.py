"""The allocator of the process belongs to the program: a library that changes it changes somebody's notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from jobs import LIMIT

JOB = [
    "strategy=openai_es",
    "dataset=iris",
    "budget.forwards=2e4",
    "tracking=none",
    "trainer.enable_progress_bar=false",
]
CODE = f"""
import sys
from hybridopt import run
from hybridopt.engine.memory import keep_freed_memory
from hybridopt.programs.run import main
run(*{JOB})
print("in Python", keep_freed_memory.cache_info().currsize)
sys.argv = ["hybridopt", *{JOB}]
main()
print("as a program", keep_freed_memory.cache_info().currsize)
"""


def test_only_the_program_changes_the_allocator(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    assert "in Python 0" in done.stdout
    assert "as a program 1" in done.stdout
