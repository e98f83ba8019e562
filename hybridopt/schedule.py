"""Schedules over the budget: a factor for a step size, from the share of the budget that is spent."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine", "exponential"]


def factor(schedule: Schedule, progress: float, final: float) -> float:
    """What a step size is multiplied with.

    Args:
        schedule: its form between the two ends; "constant" stays at 1.
        progress: the share of the budget that is spent, from 0 to 1.
        final: the factor at the end.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1 + (final - 1) * progress
    if schedule == "exponential":
        return final**progress
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
