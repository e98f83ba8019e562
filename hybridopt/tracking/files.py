"""Files that are whole or not there, in a directory that one process at a time may write."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hybridopt.errors import InUse, StorageError, brief

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = "journal.lock"
LOCK_PATIENCE = 10  # seconds: data loaders of a killed process hold its lock until they notice its death
PARTIAL = ".partial"  # how the names of files end that are being written
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE}
CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}
MISPLACED = {errno.EISDIR, errno.ENOTDIR}


def partial_of(path: Path) -> Path:
    """Under which name a file is written, to be renamed when it is whole."""
    return path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to the path that is given inside; at the end it replaces ``path``, and after an error nothing is left.

    A reader, or a kill at any moment, sees the old file or the new one; what a kill leaves, :func:`hold` sweeps up.
    """
    partial = partial_of(path)
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, text: str, durable: bool = True) -> None:
    """Replace the file at ``path`` so that a reader, or a kill, sees the old text or the new one.

    Args:
        path: in a directory that is there.
        text: all of it.
        durable: whether the text is on the disk before the old one is given up, so that it outlasts a power failure.

    Raises:
        OSError: it cannot be written; the old text stays.
    """
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def hold(directory: Path) -> BaseFileLock:
    """Own a directory until the lock is released or the process ends; what killed processes left half is removed.

    Args:
        directory: created where it does not exist.

    Raises:
        InUse: another process owns it.
        StorageError: it cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / LOCK, thread_local=False)
        lock.acquire(timeout=LOCK_PATIENCE)
    except Timeout:
        raise InUse(
            f"The run in {directory} is being written by another process: wait for it to end, or stop it."
        ) from None
    except OSError as error:
        if (directory / LOCK).is_dir():
            raise StorageError(f"{directory / LOCK} must be a file, but is a directory: remove it.") from error
        raise StorageError(
            f"The directory {directory} cannot be written ({brief(error)}): name another one, such as by "
            "hydra.run.dir=<folder>."
        ) from error
    with suppress(OSError):
        _sweep_up(directory)
    return lock


def _sweep_up(directory: Path) -> None:
    for partial in [*directory.glob(f"*{PARTIAL}"), *directory.glob(f"*/*{PARTIAL}")]:
        if partial.is_dir() and not partial.is_symlink():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def let_go_of_empty(directory: Path, lock: BaseFileLock) -> None:
    """Release a directory in which nothing has begun, and remove it if it holds nothing else."""
    with suppress(OSError):
        (directory / LOCK).unlink()  # while it is held: who waits for it notices, and makes a new one
        directory.rmdir()
    lock.release()


@contextmanager
def explaining(directory: Path, advice: str) -> Iterator[None]:
    """Inside, an error of a disk that is full or may not be written becomes a sentence.

    Args:
        directory: where the files are.
        advice: what to do, as the end of the sentence.

    Raises:
        StorageError: there was one.
    """
    try:
        yield
    except OSError as error:
        if not _is_of(error, directory):
            raise
        if error.errno in MISPLACED and directory.is_dir():
            raise StorageError(
                f"There is a folder where a file should be, or the other way round ({brief(error)}): move it away, and "
                "type the same command again."
            ) from error
        raise StorageError(f"The directory {directory} cannot be written ({brief(error)}): {advice}.") from error


def _is_of(error: OSError, directory: Path) -> bool:
    """Whether an error says that a directory cannot be written, and nothing of other files, such as data."""
    if error.errno in CLOSED or (error.errno in MISPLACED and directory.is_dir()):
        return error.filename is not None and Path(os.fsdecode(error.filename)).is_relative_to(directory)
    gone = isinstance(error, (FileNotFoundError, NotADirectoryError)) and not directory.is_dir()
    return error.errno in FULL or gone
