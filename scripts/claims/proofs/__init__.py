"""What is claimed of each method, and the experiment that shows it, or does not."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One claim, measured.

    Args:
        claim: what is said of the method.
        found: what was measured, in words and numbers.
        holds: whether the one bears out the other.
        forwards: what a run cost, 0 where that is not the point.
        how: a command that repeats a run; empty where only the script does.
    """

    claim: str
    found: str
    holds: bool
    forwards: float = 0
    how: str = ""


Proof = Callable[[int], Iterator[Finding]]
PROOFS: dict[str, list[Proof]] = {}


def proves(*methods: str) -> Callable[[Proof], Proof]:
    """A function of the number of seeds that yields findings on these methods."""

    def register(proof: Proof) -> Proof:
        for method in methods:
            PROOFS.setdefault(method, []).append(proof)
        return proof

    return register


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Median, and the range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}g} ({low:.{digits}g} to {high:.{digits}g})"


def accuracies(values: Sequence[float]) -> str:
    """Median and range of accuracies, three places each."""
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
