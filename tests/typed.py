"""Commands of the docs, run one after the other in one process, which imports torch and Lightning once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobs import LIMIT

DRIVER = """
import sys
from importlib import import_module
from importlib.util import find_spec
from hydra.core.global_hydra import GlobalHydra
place = find_spec("hybridopt.__main__").origin  # what Lightning starts again for further processes
for line in sys.stdin.read().splitlines():
    print("$", line, flush=True)
    program, *words = line.split("\\t")
    sys.argv = [place, *words]
    try:
        import_module("hybridopt.programs." + (program.partition("-")[2] or "run")).main()
    except SystemExit as end:
        if end.code:
            raise
    GlobalHydra.instance().clear()
"""


def run_all(
    lines: Sequence[Sequence[str]],
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> str:
    """Run commands of hybridopt, each of which must end well.

    Args:
        lines: the commands, in words; of any program of ours that is one file of hybridopt.programs.
        cwd: where they are typed.
        environment: variables, besides this process's own.
        python: of the environment in which they are.

    Returns:
        What they print, each after a line that begins with a dollar sign.
    """
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    text = "\n".join("\t".join(line) for line in lines)
    done = subprocess.run(
        [python, "-c", DRIVER], input=text, cwd=cwd, env=variables, capture_output=True, text=True, timeout=LIMIT,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
