"""Lines of a journal with checksums, each of which continues that of the line before.

A line whose bytes have changed, or before which one is missing, does not pass; the lines after it do.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

ENDING = re.compile(rb',"crc32":"([0-9a-f]{8})"\}\n\Z')
ENDING_LENGTH = len(b',"crc32":"01234567"}\n')
CANDIDATES = 8  # as many lines in a row may be damaged in their checksums


def checksummed(line: bytes, before: int) -> tuple[bytes, int]:
    """A line that goes into a journal, and its checksum.

    Args:
        line: a JSON object, without a newline.
        before: the checksum of the line before, 0 at the journal's beginning.
    """
    checksum = crc32(line, before)
    return line[:-1] + b',"crc32":"%08x"}\n' % checksum, checksum


def checksum_of(line: bytes) -> int | None:
    """The checksum that a line ends with; None where it has none."""
    found = ENDING.search(line[-ENDING_LENGTH:])
    return None if found is None else int(found[1], 16)


class Chain:
    """Checks the lines of a journal one after the other.

    Args:
        before: the checksum of the line before the first; None where it is not known, so that this one is not checked.
    """

    def __init__(self, before: int | None = 0):
        self._before = None if before is None else [before]  # several after a damaged line: each may be the true one

    def check(self, line: bytes) -> bytes:
        """The next line without its checksum; one that has none, which a former version wrote, as it is.

        Raises:
            ValueError: it is not what was written.
        """
        found, said = checksum_of(line), line[:-ENDING_LENGTH] + b"}"  # which is wrong where the ending is damaged
        before, self._before = self._before or [], None if found is None else [found]
        expected = [crc32(said, each) for each in before]
        if found is None:
            self._before = [0, *before, *expected][:CANDIDATES]
            return line
        if before and found not in expected:
            self._before = [found, *expected][:CANDIDATES]
            raise ValueError("its checksum is wrong, or a line before it is missing")
        return said


def ends_there(path: Path, noted: str) -> bool:
    """Whether the journal at ``path`` has reached a position, and is still the one that did."""
    try:
        size, checksum = (int(part, base) for part, base in zip(noted.split(":"), (10, 16), strict=True))
        with path.open("rb") as journal:
            whole = 0 <= size <= journal.seek(0, os.SEEK_END)
            return whole and checksum == checksum_before(journal, size)
    except (OSError, ValueError):
        return False


def position(size: int, checksum: int) -> str:
    """How far a journal has come: its bytes, and the checksum of the line that ends there, by which it is known."""
    return f"{size}:{checksum:08x}"


def checksum_before(journal: BinaryIO, offset: int) -> int | None:
    """The checksum of the line that ends at byte ``offset``; 0 at the beginning and where a line has none.

    None where no line ends there.
    """
    journal.seek(max(0, offset - ENDING_LENGTH))
    end = journal.read(min(offset, ENDING_LENGTH))
    return checksum_of(end) or 0 if not end or end.endswith(b"\n") else None
