"""What bash is told when it completes a line, as ``complete -C`` asks: with the line so far in COMP_LINE."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence


def offer(candidates: Callable[[Sequence[str]], Sequence[str]]) -> None:
    """Print what may come next.

    Args:
        candidates: of the words that are complete, without the program's name.
    """
    line = os.environ.get("COMP_LINE", "")
    words = line.split()[1:]
    done, begun = (words, "") if line.endswith(" ") else (words[:-1], words[-1] if words else "")
    for candidate in candidates(done):
        if candidate.startswith(begun):
            print(candidate)
