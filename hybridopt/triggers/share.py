"""A turn ends when it has spent its share of the budget."""

from __future__ import annotations

from hybridopt.core.trigger import Trigger
from hybridopt.toolbox import ranges


class Share(Trigger):
    """End a turn that has spent a share of the hybrid's budget.

    Good for turns of known cost.

    Args:
        share: of the whole budget, in one turn.

    Raises:
        ConfigError: the share is not between 0 and 1.
    """

    def __init__(self, share: float = 0.1):
        super().__init__()
        ranges.share("trigger", "(0, 1]", share=share)
        self.limit = share
