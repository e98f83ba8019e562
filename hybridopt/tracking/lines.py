"""The lines of a journal, as they are read: each says something and passes its checksum, or is told apart."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridopt.errors import ResumeError
from hybridopt.tracking.checked import CONFIG_FILE, complaint, config_digest
from hybridopt.tracking.checksums import Chain, checksum_before

JOURNAL = "journal.jsonl"
RUN = "run"  # the kind of the first line, which says whose journal it is
UNREADABLE = "unreadable"  # the kind of a line that says nothing
TAIL = 4096  # bytes at a journal's end in which its last line is looked for


@dataclass(frozen=True)
class Operation:
    """One line of a journal.

    Args:
        kind: one of those of :mod:`~hybridopt.tracking.operations`, but for the first line's; "unreadable" where the
            line is none of them.
        content: see :mod:`~hybridopt.tracking.operations`; of an unreadable line, why it is.
        end: the journal's length in bytes up to and including this line.
    """

    kind: str
    content: Mapping[str, Any]
    end: int


def read_operations(path: Path, offset: int = 0) -> Iterator[Operation]:
    """The complete lines of a journal, from byte ``offset`` on; safe while another thread appends to it.

    A line that a damaged disk or another program left is an operation, too, so that it is counted and passed.
    """
    from hybridopt.tracking.operations import parse

    if not path.is_file():
        return
    with path.open("rb") as lines:
        chain = Chain((checksum_before(lines, offset) or None) if offset else 0)
        lines.seek(offset)
        for line in lines:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            try:
                content = parse(chain.check(line))
            except ValueError as error:
                yield Operation(UNREADABLE, {"why": f"the line that ends at byte {offset}: {complaint(error)}"}, offset)
                continue
            kind = content.pop("kind")
            if kind != RUN:
                yield Operation(kind, content, offset)


def last_operation(directory: Path) -> Operation | None:
    """The last complete line of the journal in ``directory``; None where there is none."""
    path = directory / JOURNAL
    try:
        with path.open("rb") as file:
            begin = max(0, os.fstat(file.fileno()).st_size - TAIL)
            file.seek(begin)
            before_last = file.read().rpartition(b"\n")[0].rfind(b"\n")
    except OSError:
        return None
    begin = begin + before_last + 1 if before_last >= 0 else 0
    return max(read_operations(path, begin), key=lambda operation: operation.end, default=None)


def last_status(directory: Path) -> str | None:
    """The status with which the journal in ``directory`` ends; None where it does not end with one."""
    last = last_operation(directory)
    return last.content["status"] if last is not None and last.kind == "status" else None


def check_own(path: Path) -> None:
    """Refuse a journal that says that it is another run's.

    Raises:
        ResumeError: it is.
    """
    from hybridopt.tracking.operations import parse

    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            whose = parse(Chain().check(file.readline())).get("config")
    except ValueError:  # a damaged line, or that of a former version, does not say
        return
    own = config_digest(path.parent)
    if own and whose is not None and whose != own:
        raise ResumeError(
            f"{path} is the journal of another run than the {CONFIG_FILE} beside it: put its own one back, or add "
            "start_over=true to the command that began it."
        )
