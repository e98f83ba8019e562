"""What a program is doing before it has something to show: one line on a terminal, which is gone afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ERASED = "\r\x1b[K"  # back to the start of the line, which is emptied (ECMA-48)

_wanted = False  # whether anybody is to see it


@contextmanager
def shown() -> Iterator[None]:
    """Inside, a program that a person looks at tells what it is doing; nothing of it stays."""
    global _wanted
    first = os.environ.get("LOCAL_RANK", "0") == "0"  # of the processes that share a terminal
    before, _wanted = _wanted, first and sys.stderr.isatty()
    try:
        yield
    finally:
        clear()
        _wanted = before


def say(text: str) -> None:
    """Tell what is being done, in place of what was; what is printed next takes its place."""
    if _wanted:
        print(f"{ERASED}{text} …\r", end="", file=sys.stderr, flush=True)


def clear() -> None:
    """Take the line away, since something else is shown now."""
    if _wanted:
        print(ERASED, end="", file=sys.stderr, flush=True)
