"""Gradient descent, then simulated annealing of the last layer (Rere, Fanany & Arymurthy 2015).

https://doi.org/10.1016/j.procs.2015.12.114. It is often cited for training without gradients, and is a hybrid: the
features are those of backpropagation. It improves a network that was trained too little; the same forwards spent on
more gradient descent improve it more (``hybridopt-study run ablations``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from hybridopt.core.encoding import Encoding
from hybridopt.core.hybrid import Hybrid
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Parts, Strategy
from hybridopt.toolbox.ranges import share


class SimulatedAnnealingHead(Hybrid):
    """Train by gradient for a share of the budget, then let a search move one group of parameters.

    Good for showing what annealing adds to a network that was trained by gradient.

    Args:
        pretrain: trains the whole network; any strategy.
        search: moves the group; any strategy.
        encoding: which parameters it moves; the last layer's unless ``encoding.pattern`` says otherwise.
        pretrain_share: the share of the budget that training may spend.

    Raises:
        ConfigError: the share is not between 0 and 1.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"direct"})
    search_space: ClassVar[dict[str, str]] = {"pretrain_share": "interval(0.01, 0.9)"}

    def __init__(
        self,
        pretrain: Annotated[Strategy, "adam"],
        search: Annotated[Strategy, "simulated_annealing"],
        encoding: Annotated[Encoding, "parameter_group"],
        pretrain_share: float = 0.1,
    ):
        share("strategy", "(0, 1)", pretrain_share=pretrain_share)
        shares = {"pretrain": pretrain_share, "search": 1 - pretrain_share}
        super().__init__({"pretrain": pretrain, "search": search}, shares)
        self.encoding = encoding

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {"without the search": ("strategy=@pretrain",)}

    def parts(self, encoding: Encoding) -> Parts:
        return {"pretrain": (self.phases["pretrain"], encoding), "search": (self.phases["search"], self.encoding)}

    def view(self, name: str, oracle: Oracle) -> Oracle:
        return oracle.encoded(self.encoding) if name == "search" else oracle
