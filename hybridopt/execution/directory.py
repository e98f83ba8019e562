"""What lies in a run's directory, and what that says about the run."""

from __future__ import annotations

import traceback
from enum import StrEnum
from pathlib import Path

CONFIG_FILE = "config.yaml"  # the resolved config: the run has begun
RESULT_FILE = "result.json"  # the run has finished
TRACEBACK_FILE = "traceback.txt"  # the run has failed
CODE_FILE = "code.txt"  # the versions of the code that it was computed by, one a line


class State(StrEnum):
    """What has become of a run."""

    NEW = "new"
    HALF_DONE = "half done"
    FAILED = "failed"
    FINISHED = "finished"


def state(directory: Path) -> State:
    """What has become of the run in ``directory``, as its files tell it; half done is a run that goes on, too."""
    for file, meaning in (
        (RESULT_FILE, State.FINISHED),
        (TRACEBACK_FILE, State.FAILED),
        (CONFIG_FILE, State.HALF_DONE),
    ):
        if (directory / file).exists():
            return meaning
    return State.NEW


def reason(directory: Path) -> str:
    """Why the run in ``directory`` failed: the last line of its traceback, without the name of the error's module."""
    try:
        lines = (directory / TRACEBACK_FILE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return "it left no trace"
    last = next((line for line in reversed(lines) if line and not line.startswith(" ")), "it left no trace")
    kind, colon, text = last.partition(": ")
    return text if colon and kind.startswith("hybridopt.errors.") else f"{kind.rpartition('.')[2]}{colon}{text}"


def leave_traceback(directory: Path, error: BaseException) -> Path:
    """Keep an error's traceback in the directory of the run that it ended."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / TRACEBACK_FILE
    path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return path


def note_code(directory: Path, version: str) -> list[str]:
    """Note by which version of the code the run in ``directory`` is computed from now on; all of them, oldest first."""
    noted = codes(directory)
    if version not in noted[-1:]:
        noted.append(version)
        (directory / CODE_FILE).write_text("\n".join(noted) + "\n", encoding="utf-8")
    return noted


def codes(directory: Path) -> list[str]:
    """The versions of the code that the run in ``directory`` was computed by, oldest first."""
    try:
        return (directory / CODE_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
