"""Schedules over the budget: a factor for a step size, from the share of the budget that is spent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from hybridopt.errors import ConfigError
from hybridopt.toolbox.ranges import at_least, one_of

Schedule = Literal["constant", "linear", "cosine", "exponential"]


@dataclass(frozen=True)
class Decay:
    """What a step size is multiplied with: 1 at the start of the budget, and ``final`` at its end.

    Args:
        schedule: its form between the two ends; "constant" stays at 1.
        final: the factor at the end.
        setting: the name of ``final`` in the strategy's config, for messages.

    Raises:
        ConfigError: there is no such schedule, or it cannot end there.
    """

    schedule: Schedule
    final: float
    setting: str = "final_lr"

    def __post_init__(self) -> None:
        one_of("strategy", get_args(Schedule), schedule=self.schedule)
        at_least("strategy", 0, **{self.setting: self.final})
        if self.schedule == "exponential" and not self.final > 0:
            raise ConfigError(
                f"strategy.{self.setting} must be a positive number, which is what an exponential schedule can reach, "
                f"but is {self.final:g}."
            )

    def __call__(self, progress: float) -> float:
        """The factor when this share of the budget is spent, from 0 to 1."""
        match self.schedule:
            case "constant":
                return 1.0
            case "linear":
                return 1 + (self.final - 1) * progress
            case "cosine":
                return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2
            case "exponential":
                return self.final**progress
