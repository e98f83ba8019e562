"""How far the memory of a process grows: what studies measure, each time in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from hybridopt.engine.memory import begin_peak, keep_freed_memory, peak_memory
from hybridopt.errors import PluginError

SHOWN = 500  # letters of what a process has said before it failed


def growth(before: Callable[[], object], measured: Callable[[], object]) -> float:
    """How far the peak of this process's memory rises above what it was, in MB (2^20 bytes).

    The allocator is changed as the programs of hybridopt change it, for the rest of the process: call it in one of its
    own (:func:`in_a_process`).

    Args:
        before: what imports and makes whatever is there afterwards, such as the same computation on a small scale.
        measured: the computation.
    """
    keep_freed_memory()
    before()
    begin_peak()
    start = peak_memory()
    measured()
    return peak_memory() - start


def in_a_process(module: str, *arguments: str) -> float:
    """The number that a module prints last, run as a program in a process of its own.

    Args:
        module: its dotted name; it prints the number where it is run.
        arguments: of its command line.

    Raises:
        PluginError: the process fails, or prints no number.
    """
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return float(done.stdout.split()[-1])
    except (IndexError, ValueError):
        said = done.stderr.strip()[-SHOWN:] or done.stdout.strip()[-SHOWN:] or f"exit code {done.returncode}"
        raise PluginError(
            f"python -m {module} {' '.join(arguments)} has printed no number ({said}): run it by hand, and mend it."
        ) from None
