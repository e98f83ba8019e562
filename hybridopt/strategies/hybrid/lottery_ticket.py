"""A lottery ticket that is searched for, not trained for: global mask search, rewind, gradient fine-tuning.

The lottery-ticket hypothesis (Frankle & Carbin 2019, https://arxiv.org/abs/1803.03635) says that a random network holds
a sparse part that, trained from its initial weights, does as well as the whole. There the part is found by training
and pruning; here by a search over masks of the untrained network (Zhou et al. 2019, https://arxiv.org/abs/1905.01067),
which needs no gradient.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch

from hybridopt.core.encoding import Encoding, SparseEncoding
from hybridopt.core.hybrid import Hybrid, check_search
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Strategy
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.errors import ConfigError


class LotteryTicket(Hybrid):
    """Search a mask over the initial weights, rewind to them, and train what the mask has left.

    Good for sparse networks, found by a search and then trained.

    Args:
        search: finds the mask; any search.
        finetune: trains the remaining weights; any strategy.
        encoding: how the search's vectors become sparse parameters; one that has a mask.
        search_share: the share of the budget that the search may spend.

    Raises:
        ConfigError: the share is not between 0 and 1, or a part is of the wrong kind.
    """

    search_space: ClassVar[dict[str, str]] = {"search_share": "interval(0.1, 0.6)"}

    def __init__(
        self,
        search: Annotated[Strategy, "openai_es"],
        finetune: Annotated[Strategy, "adam"],
        encoding: Annotated[Encoding, "supermask"],
        search_share: float = 0.3,
    ):
        if not 0 < search_share < 1:
            raise ConfigError(f"strategy.search_share must lie between 0 and 1, but is {search_share:g}.")
        check_search(search, "A ticket is found by a search", "openai_es")
        if not isinstance(encoding, SparseEncoding):
            raise ConfigError(
                f"A ticket needs an encoding with a mask, and {type(encoding).__name__} has none: choose one, such as "
                "strategy/encoding=supermask."
            )
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
        return oracle.masked(self.layout.named(self.mask))

    def _draw_ticket(self, oracle: Oracle) -> None:
        """The mask that the search recommends, and the rewind to the initial weights."""
        found = self.encoding.mask(self.phases["search"].recommend())
        own = oracle.parameters()
        free = {name: torch.ones_like(value, dtype=torch.bool) for name, value in own.items()}
        self.mask = self.layout.flatten({**free, **found})
        with torch.no_grad():
            for name, value in self.layout.named(self.initial).items():
                own[name].copy_(value)
