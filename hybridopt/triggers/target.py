"""A turn ends when validation has reached a value."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from hybridopt.core.oracle import Oracle
from hybridopt.core.trigger import Trigger, Turn
from hybridopt.errors import ConfigError, options
from hybridopt.toolbox.ranges import finite


class Target(Trigger):
    """End a turn at the first mark at which a metric of validation is as good as wanted.

    Good for going on to the next phase once the network is good enough. A mark before the turn does not count.

    Args:
        metric: of validation, such as "val/accuracy".
        value: at least, or at most where lower is better.

    Raises:
        ConfigError: the value is no number, or there is no such metric.
    """

    seen: Tensor  # a whole number, validations before the turn

    def __init__(self, metric: str = "val/accuracy", value: float = 0.9):
        super().__init__()
        finite("trigger", value=value)
        self.metric, self.value = metric, value

    def attach(self, oracle: Oracle) -> None:
        known = {name: higher for name, higher in oracle.feed.directions.items() if higher is not None}
        if known and self.metric not in known:
            raise ConfigError(
                f"trigger.metric={self.metric} is no metric of this run that is better high, or low."
                f"{options(known, self.metric)}"
            )

    def begin(self, turn: Turn) -> None:
        self.register_buffer("seen", torch.tensor(len(turn.oracle.feed.curve)))

    def over(self, turn: Turn) -> bool:
        feed = turn.oracle.feed
        if len(feed.curve) <= int(self.seen):
            return False
        reached, higher = feed.curve[-1][1][self.metric], cast(bool, feed.directions[self.metric])
        return reached >= self.value if higher else reached <= self.value
