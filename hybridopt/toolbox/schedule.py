"""Schedules over the budget: a factor for a step size, from the share of the budget that is spent."""

from __future__ import annotations

import math
from typing import Literal, get_args

from hybridopt.errors import ConfigError, options

Schedule = Literal["constant", "linear", "cosine", "exponential"]


def factor(schedule: Schedule, progress: float, final: float) -> float:
    """What a step size is multiplied with.

    Args:
        schedule: its form between the two ends; "constant" stays at 1.
        progress: the share of the budget that is spent, from 0 to 1.
        final: the factor at the end.

    Raises:
        ConfigError: there is no such schedule, or it cannot end there.
    """
    match schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1 + (final - 1) * progress
        case "cosine":
            return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
        case "exponential" if final > 0:
            return final**progress
        case "exponential":
            raise ConfigError(f"An exponential schedule ends above 0, but strategy.final_lr is {final:g}.")
    raise ConfigError(f"There is no schedule {schedule!r}.{options(get_args(Schedule), str(schedule))}")
