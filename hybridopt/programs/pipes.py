"""A program whose reader has seen enough, such as ``head``, ends without a word."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CUT = 141  # the exit status that a shell gives for a program that SIGPIPE has ended


@contextmanager
def ending_with_reader() -> Iterator[None]:
    """Inside, or for a decorated function, the end of who reads is the end of the program."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # or else the interpreter complains when it ends
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(CUT)
