"""Jobs as users run them, in this process and in others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hybridopt.composition.compose import compose, plain_values


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small networks are slower on two threads, and much slower where cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def composed() -> Callable[..., dict[str, Any]]:
    """Overrides -> a resolved config of plain values, as a job gets it."""

    def make(*overrides: str) -> dict[str, Any]:
        return plain_values(compose(*overrides))

    return make


@pytest.fixture
def hybridopt(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the program in a process of its own, in ``tmp_path``."""

    def call(*arguments: str, check: bool = True, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hybridopt", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False, **kwargs
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    return call
