"""A lottery ticket that is searched for, not trained for: global mask search, rewind, gradient fine-tuning.

The lottery-ticket hypothesis (Frankle & Carbin 2019, https://arxiv.org/abs/1803.03635) says that a random network holds
a sparse part that, trained from its initial weights, does as well as the whole. There the part is found by training
and pruning; here by a search over masks of the untrained network (Zhou et al. 2019, https://arxiv.org/abs/1905.01067),
which needs no gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from hybridopt.core.encoding import Encoding, SparseEncoding
from hybridopt.core.handover import Handover
from hybridopt.core.hybrid import Hybrid
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Parts, Strategy
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.engine.randomness import shuffled
from hybridopt.errors import ConfigError
from hybridopt.toolbox.ranges import share


class LotteryTicket(Hybrid):
    """Search a mask over the initial weights, rewind to them, and train what the mask has left.

    Good for sparse networks, found by a search and then trained.

    The mask is the one that the search hands over, as pruning and edge-popup do; of another search, which works on the
    vectors of ``encoding``, it is the encoding's mask at what the search recommends.

    Args:
        search: finds the mask; any strategy that works in an encoding, or that hands over a mask.
        finetune: trains the remaining weights; any strategy.
        encoding: how the search's vectors become sparse parameters; one that has a mask.
        search_share: the share of the budget that the search may spend.
        mask: "found", or a control: "shuffled" keeps as many weights of each layer, in other places; "random" as many
            of the whole network.
        survivors: what becomes of the weights that are left: "rewind" to where they began, or "redraw", the control.

    Raises:
        ConfigError: the share is not between 0 and 1, or a part is of the wrong kind.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"direct"})
    hands_over: ClassVar[frozenset[str]] = frozenset({"mask"})
    search_space: ClassVar[dict[str, str]] = {"search_share": "interval(0.1, 0.6)"}
    encoding: SparseEncoding
    initial: Tensor  # (d,), the weights that are rewound to
    mask: Tensor | None  # (d,), boolean, once it is found

    def __init__(
        self,
        search: Annotated[Strategy, "openai_es"],
        finetune: Annotated[Strategy, "adam"],
        encoding: Annotated[Encoding, "supermask"],
        search_share: float = 0.3,
        mask: Literal["found", "shuffled", "random"] = "found",
        survivors: Literal["rewind", "redraw"] = "rewind",
    ):
        share("strategy", "(0, 1)", search_share=search_share)
        if not isinstance(encoding, SparseEncoding):
            raise ConfigError(
                f"A ticket needs an encoding with a mask, and {type(encoding).__name__} has none: choose one, such as "
                "strategy/encoding=supermask."
            )
        if "direct" in search.requires and "mask" not in search.hands_over:
            raise ConfigError(
                f"A ticket is found by a strategy that works in an encoding or hands over a mask, and "
                f"{type(search).__name__} does neither: choose another one, such as strategy/search=openai_es."
            )
        shares = {"search": search_share, "finetune": 1 - search_share}
        super().__init__({"search": search, "finetune": finetune}, shares)
        self.encoding, self.kept, self.survivors = encoding, mask, survivors
        self.register_buffer("mask", None)

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {
            "without the search": ("strategy=@finetune",),
            "with a shuffled mask": ("strategy.mask=shuffled",),
            "with a random mask": ("strategy.mask=random",),
            "with weights redrawn": ("strategy.survivors=redraw",),
        }

    def parts(self, encoding: Encoding) -> Parts:
        search = self.phases["search"]
        inner = encoding if self._masks_itself else self.encoding
        return {"search": (search, inner), "finetune": (self.phases["finetune"], encoding)}

    def attach(self, oracle: Oracle) -> None:
        self.layout = ParameterLayout.of(oracle.parameters())
        super().attach(oracle)

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.register_buffer("initial", self.layout.flatten(oracle.parameters()))
        self.mask = None
        super().begin(oracle, batch)

    def view(self, name: str, oracle: Oracle) -> Oracle:
        if name == "search":
            return oracle if self._masks_itself else oracle.encoded(self.encoding)
        return oracle.masked(self.layout.named(cast(Tensor, self.mask))) if self.current == name else oracle

    def prepare(self, name: str, oracle: Oracle, batch: Batch) -> None:
        if name == "finetune":
            own = oracle.parameters()
            free = {name: torch.ones_like(value, dtype=torch.bool) for name, value in own.items()}
            found = dict(self._found())
            if self.kept != "found":
                found = permuted(found, oracle.generator, whole=self.kept == "random")
            self.mask = self.layout.flatten({**free, **found})
            oracle.assign(self._begun(oracle.generator))

    def handover(self) -> Handover:
        return Handover() if self.mask is None else Handover(mask=self.layout.named(self.mask))

    @property
    def _masks_itself(self) -> bool:
        """Whether the search works on the weights themselves, and hands its mask over."""
        return "direct" in self.phases["search"].requires

    def _begun(self, generator: torch.Generator) -> Tensor:
        """Where the weights that are left begin (d,)."""
        if self.survivors == "rewind":
            return self.initial
        named = self.layout.named(self.initial)
        return self.layout.flatten({**named, **{k: shuffled(v, generator) for k, v in named.items()}})

    def _found(self) -> dict[str, Tensor]:
        search = self.phases["search"]
        if self._masks_itself:
            return dict(cast(Mapping[str, Tensor], search.handover().mask))
        return self.encoding.mask(cast(Tensor, search.recommend()))


def permuted(mask: Mapping[str, Tensor], generator: torch.Generator, *, whole: bool) -> dict[str, Tensor]:
    """A mask that keeps as many weights in other places: of each layer, or of the whole network."""
    if not whole:
        return {name: shuffled(kept, generator) for name, kept in mask.items()}
    layout = ParameterLayout.of(mask)
    return {name: kept.bool() for name, kept in layout.named(shuffled(layout.flatten(mask), generator)).items()}
