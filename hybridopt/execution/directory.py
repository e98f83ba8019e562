"""What lies in a run's directory, and what that says about the run."""

from __future__ import annotations

import json
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from hybridopt.errors import ConfigError, StorageError, Taken, brief
from hybridopt.tracking.checked import CONFIG_FILE
from hybridopt.tracking.checksums import ends_there
from hybridopt.tracking.files import hold, let_go_of_empty, write_atomically
from hybridopt.tracking.identity import IDENTITY, KEY_FILE, holds_identity
from hybridopt.tracking.journal import DELIVERED, Journal
from hybridopt.tracking.lines import JOURNAL, last_operation, last_status
from hybridopt.tracking.tracker import holds_run

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from hybridopt.core.strategy import Strategy

from hybridopt.toolbox.credentials import masked

RESULT_FILE = "result.json"  # the run has finished, if its journal says so too
TRACEBACK_FILE = "traceback.txt"  # the run has failed
CODE_FILE = "code.txt"  # the versions of the code that it was computed by, one a line
DIGESTS_FILE = "digests.json"  # of what decides its result, see execution/checkpoint.py
CURVE_FILE = "curve.png"
FRONT = "front.parquet"  # of a run with several objectives: its trade-offs at all marks
FRONT_PICTURE = "front.png"
ARTIFACTS = "artifacts"  # what a strategy keeps besides
CHECKPOINTS = "checkpoints"
MODEL = "model"
CHECKPOINT = f"{CHECKPOINTS}/last.ckpt"
WEIGHTS = f"{CHECKPOINTS}/weights.safetensors"  # of the network that was tested, by the names of its state_dict
PREPROCESSING = f"{CHECKPOINTS}/preprocessing.json"  # what its inputs went through, and what its outputs stand for
FRONT_WEIGHTS = f"{CHECKPOINTS}/front.safetensors"  # of its last members
TRACES = (CONFIG_FILE, RESULT_FILE, IDENTITY, JOURNAL)  # each shows that there was a run
OURS = (  # all that a run keeps, in the order in which it is given up
    *(CONFIG_FILE, CHECKPOINTS, MODEL, RESULT_FILE, TRACEBACK_FILE, CODE_FILE, DIGESTS_FILE, CURVE_FILE),
    *(FRONT, FRONT_PICTURE, ARTIFACTS),
    *(DELIVERED, KEY_FILE, IDENTITY, JOURNAL),
)


class State(StrEnum):
    """What has become of a run."""

    NEW = "new"
    HALF_DONE = "half done"
    FAILED = "failed"
    FINISHED = "finished"


def state(directory: Path) -> State:
    """What has become of the run in ``directory``, as its files tell it; half done is a run that goes on, too.

    A run has finished when its result is there and its journal ends with that: whoever was killed in between goes on
    from the last checkpoint. A result whose journal was taken away stands for itself.
    """
    ended = last_status(directory) == "FINISHED" or not (directory / JOURNAL).exists()
    if ended and (directory / RESULT_FILE).exists():
        return State.FINISHED
    if (directory / TRACEBACK_FILE).exists():
        return State.FAILED
    return State.HALF_DONE if (directory / CONFIG_FILE).exists() else State.NEW


def finish_killed(directory: Path, lock: BaseFileLock | None = None) -> bool:
    """End a run that was killed after its result was kept, and before its journal said so.

    All that it had to report is in the journal by then, but for the files that it keeps.

    Args:
        directory: the run's.
        lock: of the directory, where it is held already; it is released.

    Returns:
        Whether the run has finished.

    Raises:
        ResumeError: another process is writing this run.
        StorageError: the directory cannot be written.
    """
    last = last_operation(directory)
    if last is not None and last.kind in ("tags", "metrics", "artifact", "model") and _journal_is_whole(directory):
        journal = Journal(directory, lock)
        for path in kept(directory):
            (journal.model if path.name == MODEL else journal.artifact)(path)
        journal.status("FINISHED")
        journal.close()
    return state(directory) == State.FINISHED


def kept(directory: Path) -> list[Path]:
    """What a finished run keeps besides its numbers, as far as it is there, in the order in which MLflow gets it."""
    files = (
        *(CHECKPOINT, WEIGHTS, PREPROCESSING, CURVE_FILE, FRONT, FRONT_WEIGHTS, FRONT_PICTURE),
        *(ARTIFACTS, MODEL, RESULT_FILE),
    )
    return [path for path in (directory / name for name in files) if path.exists()]


def _journal_is_whole(directory: Path) -> bool:
    """Whether there is a result, and the journal holds all that came before it."""
    try:
        result = json.loads((directory / RESULT_FILE).read_text(encoding="utf-8"))
        return ends_there(directory / JOURNAL, result["journal"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


@contextmanager
def owning(directory: Path, new: bool, start_over: bool = False) -> Iterator[BaseFileLock]:
    """Inside, no other process writes the directory of a run.

    Args:
        directory: of a run that goes on, or of one that is to begin, which is made.
        new: whether one is to begin; where it is refused inside, before its config is kept, nothing is left of it.
        start_over: whether the run that is there is deleted before.

    Raises:
        ConfigError: there is a run already, and one is to begin.
        ResumeError: another process owns it.
        StorageError: it cannot be written.
    """
    lock = hold(directory)
    try:
        if new:
            if start_over:
                _clear(directory)
            _check_free(directory)
        yield lock
    except BaseException:
        if new and not (directory / CONFIG_FILE).exists() and not holds_run(directory):
            let_go_of_empty(directory, lock)
        raise
    finally:
        lock.release()


def traces(directory: Path) -> list[str]:
    """The files in a directory that show that there is, or was, a run."""
    return [name for name in TRACES if (directory / name).exists()]


def _check_free(directory: Path) -> None:
    there = traces(directory)
    if CONFIG_FILE in there:
        raise Taken(
            f"{directory} already holds a run: type resume={directory} to continue it, choose another directory "
            "(hydra.run.dir=<folder>), or add start_over=true to delete it and begin again."
        )
    if there:
        raise ConfigError(
            f"{directory} has the {' and '.join(there)} of a run that has lost its {CONFIG_FILE}: add start_over=true "
            "to delete it and begin again, or choose another directory (hydra.run.dir=<folder>)."
        )


def _clear(directory: Path) -> None:
    for path in (directory / name for name in (OURS if traces(directory) else ())):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_artifacts(strategy: Strategy, directory: Path) -> None:
    """Let a strategy write what it keeps besides the weights; where it keeps nothing, no folder is left.

    Raises:
        StorageError: it cannot be written.
    """
    folder = directory / ARTIFACTS
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        strategy.artifacts(folder)
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written ({brief(error)}): make room, and type hybridopt resume={directory} to have it "
            "written again."
        ) from error


@contextmanager
def undone_if_refused(directory: Path) -> Iterator[None]:
    """Inside, a new run begins: where MLflow does not take it, its config is not kept."""
    try:
        yield
    except BaseException:
        if not holds_identity(directory):
            for name in (CONFIG_FILE, DIGESTS_FILE, KEY_FILE):
                (directory / name).unlink(missing_ok=True)
        raise


def reason(directory: Path) -> str:
    """Why the run in ``directory`` failed: the last line of its traceback, without the name of the error's module."""
    try:
        text = (directory / TRACEBACK_FILE).read_text(encoding="utf-8", errors="replace")
        lines = text.strip().splitlines()
    except OSError:
        return "it left no trace"
    last = next((line for line in reversed(lines) if line and not line.startswith(" ")), "it left no trace")
    kind, colon, text = last.partition(": ")
    return text if colon and kind.startswith("hybridopt.errors.") else f"{kind.rpartition('.')[2]}{colon}{text}"


def leave_traceback(directory: Path, error: BaseException) -> Path:
    """Keep an error's traceback in the directory of the run that it ended."""
    path = directory / TRACEBACK_FILE
    write_atomically(path, masked("".join(traceback.format_exception(error))))
    return path


def note_code(directory: Path, version: str) -> list[str]:
    """Note by which version of the code the run in ``directory`` is computed from now on; all of them, oldest first."""
    noted = codes(directory)
    if version not in noted[-1:]:
        noted.append(version)
        write_atomically(directory / CODE_FILE, "\n".join(noted) + "\n")
    return noted


def codes(directory: Path) -> list[str]:
    """The versions of the code that the run in ``directory`` was computed by, oldest first."""
    try:
        return (directory / CODE_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
