"""Whether a run has come to nothing, as its numbers tell, and how numbers are shown that may be huge."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

FACTOR = 1e3  # times the best loss of validation, or 1 if that is less: no fluctuation, and no overfitting
BEYOND = 1e20  # a loss whose square is no number of 32 bits any more; it may have been as large at the first mark
DIVERGED, GREW = "diverged", "loss grew"
HUGE = 1e7  # from which on digits say nothing, and widen a table
ADVICE = "take smaller steps (strategy.lr, strategy.sigma), or scale the data"


@dataclass(frozen=True)
class Mark:
    """What is wrong with the numbers of a run that has finished.

    Args:
        word: :data:`DIVERGED` where losses are no finite numbers, else :data:`GREW`.
        text: which numbers.
    """

    word: str
    text: str

    @property
    def tag(self) -> str:
        """The tag of such a run, without ``hybridopt.``."""
        return self.word.replace(" ", "_")

    @property
    def sentence(self) -> str:
        """The same for whoever reads about the run."""
        said = "The run has diverged" if self.word == DIVERGED else "The loss of the run has grown"
        return f"{said} ({self.text}): {ADVICE}."


def mark_of(summary: Mapping[str, float]) -> Mark | None:
    """What is wrong with the numbers of a run; None where nothing is.

    Args:
        summary: metrics by name, as in its result.
    """
    if losses := not_finite(summary):
        return Mark(DIVERGED, " and ".join(f"{name} is {summary[name]}" for name in losses))
    final, least = summary.get("final/val/loss", 0.0), summary.get("best/val/loss", math.nan)
    if final > min(FACTOR * max(1.0, abs(least)), BEYOND):
        return Mark(GREW, f"final/val/loss is {number(final)}, and was {number(least)} at its best")
    return None


def not_finite(summary: Mapping[str, float]) -> list[str]:
    """The losses at the end, of validation and test, that are no finite numbers."""
    ends = [name for name in summary if name.endswith("/loss") and name.startswith(("final/", "test/"))]
    return [name for name in ends if not math.isfinite(summary[name])]


def number(value: float | None) -> str:
    """Four decimals, fewer where the number is large, two digits where it is huge; or nothing."""
    if value is None:
        return ""
    if HUGE <= abs(value) < math.inf:
        return f"{value:.1e}"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"
