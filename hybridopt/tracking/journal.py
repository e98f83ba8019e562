"""The journal: one file in the run's directory that holds everything the run reported, in order.

Each line of ``journal.jsonl`` is one operation; it is written with one system call before the call that reports it
returns, so that a killed process loses at most the line it was writing. Tracking servers are fed from this file.
Each line has a checksum, and the first one says whose journal it is: a changed digit, a missing line and another run's
journal are told, and never delivered.
"""

from __future__ import annotations

import errno
import json
import math
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridopt.errors import ResumeError, StorageError, brief
from hybridopt.toolbox.credentials import masked
from hybridopt.tracking.checked import config_digest
from hybridopt.tracking.checksums import checksum_before, checksummed, ends_there, position
from hybridopt.tracking.files import FULL, hold, write_atomically
from hybridopt.tracking.lines import JOURNAL, RUN, check_own, read_operations

if TYPE_CHECKING:
    from filelock import BaseFileLock

DELIVERED = "journal.delivered"  # up to which position the tracking server has the journal

_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


class Journal:
    """An append-only journal that is open for writing; one process at a time may hold it.

    A resumed run repeats the steps since its last checkpoint with equal numbers, so a metric is ignored at the steps
    that the journal already had for it when it was opened. A metric that it lacks there (the process was killed
    between two lines of one step) is taken.

    Args:
        directory: the run's directory; created where it does not exist.
        lock: of that directory, where this process holds it already; the journal releases it when it is closed.

    Raises:
        ResumeError: another process is writing this journal, it cannot be read and written, or it is another run's.
        StorageError: the directory cannot be written.
        OSError: the disk is full.
    """

    def __init__(self, directory: Path, lock: BaseFileLock | None = None):
        self.directory = Path(directory).absolute()
        self.path = self.directory / JOURNAL
        self._lock = lock or hold(self.directory)
        self._guard = threading.RLock()  # re-entrant: a signal handler may log while the main thread does
        try:
            self._size, self._checksum = _cut_torn_line(self.path)
            check_own(self.path)
            self._last_steps = _last_steps(self.path)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except (OSError, ResumeError) as error:
            if lock is None:
                self._lock.release()
            if isinstance(error, ResumeError) or error.errno in FULL:
                raise
            raise ResumeError(
                f"{self.path} cannot be continued ({brief(error)}): remove it, or make it writable."
            ) from error
        self.last_step = max(self._last_steps.values(), default=-1)
        self._latest: dict[str, tuple[int, float | str]] = {}  # the last step and value of each metric

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Append metrics at ``step``, without those that the journal had at this step or later when it was opened.

        A value that was said of this step before is not said again: a mark and the end of a run tell the same costs.

        Args:
            values: by name; NaN and infinities are kept.
            step: forwards spent.

        Raises:
            OSError: the disk is full, or the journal is closed.
            ValueError, TypeError: a value is no number.
        """
        if step <= self.last_step:
            values = {name: value for name, value in values.items() if step > self._last_steps.get(name, -1)}
        safe = {name: _json_safe(float(value)) for name, value in values.items()}
        new = {name: value for name, value in safe.items() if self._latest.get(name) != (step, value)}
        if new:
            self._latest |= {name: (step, value) for name, value in new.items()}
            self._append({"kind": "metrics", "step": int(step), "time": _now(), "values": new})

    def params(self, values: Mapping[str, object]) -> None:
        """Append parameters of the run, as text."""
        self._append({"kind": "params", "values": _texts(values)})

    def tags(self, values: Mapping[str, object]) -> None:
        """Append tags, as text; a later value replaces an earlier one."""
        self._append({"kind": "tags", "values": _texts(values)})

    def input(self, dataset: Mapping[str, object], context: str) -> None:
        """Append a data set that the run uses, by MLflow's names for its parts, and what for."""
        self._append({"kind": "input", "dataset": _texts(dataset), "context": context})

    def artifact(self, path: Path, folder: str = "") -> None:
        """Append a file or folder to be uploaded as it is then.

        Args:
            path: kept relative to the run's directory where it lies inside, so that the directory may be moved.
            folder: where it goes among the artifacts.
        """
        self._append({"kind": "artifact", "path": self._kept(path), "folder": folder})

    def model(self, path: Path) -> None:
        """Append an MLflow model folder to be uploaded as it is then."""
        self._append({"kind": "model", "path": self._kept(path)})

    def status(self, status: str) -> None:
        """Append a status of the run, by MLflow's words, and have everything so far on the disk."""
        self._append({"kind": "status", "status": status, "time": _now()})
        os.fsync(self._file)

    def position(self) -> str:
        """How far it has come, of which all is on the disk now; it is known again by that, see :mod:`.checksums`."""
        with self._guard:
            os.fsync(self._file)
            return position(self._size, self._checksum)

    def _kept(self, path: Path) -> str:
        """A path as it is written down: relative to the run's directory where it lies inside."""
        absolute = Path(path).absolute()
        inside = absolute.is_relative_to(self.directory)
        return (absolute.relative_to(self.directory) if inside else absolute).as_posix()

    @property
    def closed(self) -> bool:
        """Whether nothing can be appended any more."""
        return self._file < 0

    def close(self) -> None:
        """Let go of the file; what is logged later raises OSError."""
        with self._guard:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
                self._lock.release()

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._guard:
            self._check_place()
            data, checksum = self._with_checksum(line)
            written = os.write(self._file, data)
            if written < len(data):  # a full disk: half a line would spoil the next one
                os.ftruncate(self._file, self._size)
                raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes could be written", str(self.path))
            self._size += written
            self._checksum = checksum

    def _with_checksum(self, line: Mapping[str, Any]) -> tuple[bytes, int]:
        """What is to be written for a line, and its checksum; before the first one goes whose journal it is."""
        whose, checksum = b"", self._checksum
        if self._size == 0:
            whose, checksum = checksummed(_encode({"kind": RUN, "config": config_digest(self.directory)}).encode(), 0)
        data, checksum = checksummed(_encode(line).encode(), checksum)
        return whose + data, checksum

    def _check_place(self) -> None:
        """See that the file that is written is still the one that will be read."""
        opened = os.fstat(self._file)
        try:
            there = os.path.samestat(os.stat(self.path), opened)
        except (FileNotFoundError, NotADirectoryError):
            there = False
        if not there:
            raise StorageError(
                f"The directory {self.directory} was removed, moved or replaced while its run went on, so that nothing "
                "more can be kept in it: start the run again, or put the directory back and resume it."
            )


def read_delivered(directory: Path) -> int:
    """How many bytes of the journal in ``directory`` have been delivered; 0 where nobody noted that of this journal."""
    try:
        noted = (directory / DELIVERED).read_text()
        return int(noted.partition(":")[0]) if ends_there(directory / JOURNAL, noted) else 0
    except (OSError, ValueError):  # delivering everything again is harmless
        return 0


def write_delivered(directory: Path, size: int) -> None:
    """Note that the first ``size`` bytes of the journal in ``directory`` have been delivered."""
    with (directory / JOURNAL).open("rb") as journal:
        noted = position(size, checksum_before(journal, size) or 0)
    write_atomically(directory / DELIVERED, noted, durable=False)


def _cut_torn_line(path: Path) -> tuple[int, int]:
    """Drop what follows the last newline of a journal whose writer was killed.

    Returns:
        The size that remains, in bytes, and the checksum of the last line.
    """
    if not path.exists():
        return 0, 0
    with path.open("rb+") as file:
        size = file.read().rfind(b"\n") + 1
        file.truncate(size)
        return size, checksum_before(file, size) or 0


def _last_steps(path: Path) -> dict[str, int]:
    steps: dict[str, int] = {}
    for operation in read_operations(path):
        if operation.kind == "metrics":
            step = operation.content["step"]
            steps |= {name: max(step, steps.get(name, -1)) for name in operation.content["values"]}
    return steps


def _json_safe(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)  # JSON has no NaN; float() reads "nan" and "-inf" back


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {masked(str(name)): masked(str(value)) for name, value in values.items()}


def _now() -> int:
    return time.time_ns() // 1_000_000
