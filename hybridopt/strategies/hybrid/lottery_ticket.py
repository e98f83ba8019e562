"""A lottery ticket that is searched for, not trained for: global mask search, rewind, gradient fine-tuning.

The lottery-ticket hypothesis (Frankle & Carbin 2019, https://arxiv.org/abs/1803.03635) says that a random network holds
a sparse part that, trained from its initial weights, does as well as the whole. There the part is found by training
and pruning; here by a search over masks of the untrained network (Zhou et al. 2019, https://arxiv.org/abs/1905.01067),
which needs no gradient.
"""

from __future__ import annotations

from typing import Annotated

import torch

from hybridopt.encoding import Encoding
from hybridopt.errors import ConfigError
from hybridopt.hybrid import Hybrid
from hybridopt.oracle import Oracle
from hybridopt.parameters import ParameterLayout
from hybridopt.strategy import Strategy


class LotteryTicket(Hybrid):
    """Search a mask over the initial weights, rewind to them, and train what the mask has left.

    Args:
        search: finds the mask; any strategy that works on losses.
        finetune: trains the remaining weights; any strategy.
        encoding: how the search's vectors become sparse parameters.
        search_share: the share of the budget that the search may spend.

    Raises:
        ConfigError: the share is not between 0 and 1.
    """

    def __init__(
        self,
        search: Annotated[Strategy, "openai_es"],
        finetune: Annotated[Strategy, "adam"],
        encoding: Annotated[Encoding, "supermask"],
        search_share: float = 0.3,
    ):
        if not 0 < search_share < 1:
            raise ConfigError(f"strategy.search_share must lie between 0 and 1, but is {search_share:g}.")
        shares = {"search": search_share, "finetune": 1 - search_share}
        super().__init__({"search": search, "finetune": finetune}, shares)
        self.encoding = encoding
        self.register_buffer("mask", None)

    def setup(self, oracle: Oracle) -> None:
        self.layout = ParameterLayout.of(oracle.parameters())
        self.register_buffer("initial", self.layout.flatten(oracle.parameters()))
        self.mask = None
        super().setup(oracle)

    def view(self, name: str, oracle: Oracle) -> Oracle:
        if name == "search":
            return oracle.encoded(self.encoding)
        if self.mask is None:
            self._draw_ticket(oracle)
        mask = {name: kept[0] for name, kept in self.layout.unflatten(self.mask[None]).items()}
        return oracle.masked(mask)

    def _draw_ticket(self, oracle: Oracle) -> None:
        """The mask of what the search found (its parameters are deployed), and the rewind to the initial weights."""
        found = self.layout.flatten(oracle.parameters())
        self.mask = (found != 0) | (self.initial == 0)  # a bias that starts at zero is not masked
        own = oracle.parameters()
        with torch.no_grad():
            for name, value in self.layout.unflatten(self.initial[None]).items():
                own[name].copy_(value[0])
