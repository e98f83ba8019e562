"""Files of numbers, as instances of combinatorial problems are kept in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hybridopt import DataError


class Numbers:
    """The numbers of a text file, taken one after the other; lines with anything else in them are skipped if allowed.

    Args:
        path: the file, relative to the working directory.
        captions: whether there may be lines of text between the numbers.

    Raises:
        DataError: the file cannot be read, or holds other things than numbers.
    """

    def __init__(self, path: str, captions: bool = False):
        self.file = Path(path).expanduser()
        self.values: list[float] = []
        self.position = 0
        self.first_line = 0  # how many numbers it has
        for number, line in enumerate(self._text(path).splitlines(), start=1):
            try:
                self.values += [float(part) for part in line.split()]
                self.first_line = self.first_line or len(self.values)
            except ValueError as error:
                if not captions:
                    raise DataError(
                        f"{self.file} has {line.strip()!r} in line {number}, where numbers are expected."
                    ) from error
        if not np.isfinite(self.values).all():
            raise DataError(f"{self.file} has numbers that are infinite or not a number: give finite ones.")

    def _text(self, path: str) -> str:
        try:
            return self.file.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise DataError(
                f"dataset.path is {path!r}, but {self.file.absolute()} cannot be read ({reason})."
            ) from error

    def take(self, count: int, what: str) -> np.ndarray:
        """The next numbers (count,).

        Raises:
            DataError: there are fewer; ``what`` says which ones.
        """
        taken = np.array(self.values[self.position : self.position + count])
        if len(taken) < count:
            raise DataError(
                f"{self.file} ends too early: it must have {count} numbers for {what}, but has {len(taken)}."
            )
        self.position += count
        return taken

    def whole(self, what: str, least: int = 1) -> int:
        """The next number, a whole one, no less than ``least``.

        Raises:
            DataError: it is not.
        """
        value = self.take(1, what)[0]
        if value != int(value) or value < least:
            raise DataError(f"{self.file} must have a whole number of {least} or more for {what}, but has {value:g}.")
        return int(value)

    def finish(self, what: str) -> None:
        """Refuse a file that goes on.

        Raises:
            DataError: it does; ``what`` says after what.
        """
        left = len(self.values) - self.position
        if left:
            raise DataError(f"{self.file} goes on after {what}, with {left} numbers: correct the sizes, or drop them.")
