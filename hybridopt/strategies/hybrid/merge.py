"""Evolutionary merging (Akiba, Shing, Tang, Sun & Ha 2024), https://arxiv.org/abs/2403.13187.

The paper's merging in parameter space: a search over what each of several networks counts in each layer. Theirs is
CMA-ES over the settings of TIES and DARE, which merge differences from a common network; ours is any search, over
weights of plain means. The search judges by losses on training batches, where the paper's sees the task's own scores.
Of digits networks that were fine-tuned on different labels it makes a better one than their uniform mean; Adam, for as
many forwards on all labels, makes a far better one (``hybridopt-study run merging``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Parts, Strategy
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.errors import ConfigError
from hybridopt.toolbox.ingredients import Mixing, Source, affordable, ranked
from hybridopt.toolbox.ranges import at_least

SCALE = 10.0  # by which a search vector's steps are larger as logits, so that a search's usual widths fit

Coefficients = Literal["layer", "network", "uniform"]
Weights = Literal["convex", "affine"]


class Merge(Mixing):
    """Let a strategy find networks, and a search how much each of them counts in each layer.

    Good for networks from one start that know different things, such as those of different data.

    As a phase of a sequence, after one that hands over a population, it merges that one, and its own parents have no
    turn. Of more networks than ``count`` the best are taken, by their loss on one batch, which is charged. The search
    starts at the uniform mean. What is exactly zero in all parents is zero in what they make.

    Args:
        parents: finds the networks; any strategy.
        search: finds the coefficients; any strategy that works in an encoding.
        source: where the networks come from, as for ``soup``: "phases", "last", or None.
        count: M, how many networks are merged.
        since: with "last", the share of the parents' budget after which recommendations are kept.
        search_share: the share of the budget that is kept for the search.
        coefficients: "layer" searches one for each network and layer, "network" one for each network, the control of
            whether layers matter; "uniform" searches none, the other control.
        weights: "convex" ones are the softmax of ten times the coefficients; "affine" ones are 1/M plus the
            coefficients less their mean, and may be negative.

    Raises:
        ConfigError: a number is out of range, or the search works on the parameters themselves.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"losses", "direct"})
    takes: ClassVar[frozenset[str]] = frozenset({"population"})
    search_space: ClassVar[dict[str, str]] = {"count": "choice(2, 4, 8)", "search_share": "interval(0.05, 0.5)"}

    def __init__(
        self,
        parents: Annotated[Strategy, "adam"],
        search: Annotated[Strategy, "snes"],
        source: Source | None = None,
        count: int = 4,
        since: float = 0.5,
        search_share: float = 0.2,
        coefficients: Coefficients = "layer",
        weights: Weights = "convex",
    ):
        at_least("strategy", 2, count=count)
        if "direct" in search.requires:
            raise ConfigError(
                f"Coefficients are found by a strategy that works in an encoding, and {type(search).__name__} works on "
                "the parameters themselves: choose another one, such as strategy/search=snes."
            )
        super().__init__("parents", parents, "search", search, search_share, source, count, since)
        self.coefficients = coefficients
        self.mixture = Mixture(count, coefficients, weights)

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {
            "without the search": ("strategy=@parents",),
            "with a uniform mean": ("strategy.coefficients=uniform",),
            "with a coefficient for each network": ("strategy.coefficients=network",),
        }

    def parts(self, encoding: Encoding) -> Parts:
        return {"parents": (self.finder, encoding), "search": (self.phases["search"], self.mixture)}

    def view(self, name: str, oracle: Oracle) -> Oracle:
        return oracle.encoded(self.mixture) if name == "search" else oracle

    def mix(self, found: Tensor, oracle: Oracle, batch: Batch) -> None:
        if len(found) > self.count:
            found = found[: max(self.count, affordable(oracle, batch))]
            found, _ = ranked(found, oracle.losses(found, batch))
        self.mixture.register_buffer("parents", found[: self.count].clone())

    def next(self) -> str | None:
        """A uniform mean is judged once, and all is done."""
        there = self.coefficients == "uniform" and self.current == "search" and self.moved
        return None if there else super().next()


class Mixture(Encoding):
    """Means of M networks, with weights for each layer: a layer's parameters are those of one module.

    Args:
        count: M; where there are fewer networks, the other coefficients are of no effect.
        coefficients: "layer" for M times as many as there are layers, "network" for M, "uniform" for none of effect.
        weights: "convex" or "affine".
    """

    parents: Tensor  # (up to M, d), once they are known

    def __init__(self, count: int, coefficients: Coefficients, weights: Weights):
        super().__init__()
        self.count, self.coefficients, self.weights = count, coefficients, weights

    def attach(self, parameters: Mapping[str, Tensor]) -> int:
        self.layout = ParameterLayout.of(parameters)
        layers = [name.rpartition(".")[0] if self.coefficients == "layer" else "" for name in parameters]
        places = {layer: place for place, layer in enumerate(dict.fromkeys(layers))}
        self.layer_of = dict(zip(parameters, (places[layer] for layer in layers), strict=True))
        self.layers = len(places)
        return self.count * self.layers

    def begin(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        return self.parents.new_zeros(self.count * self.layers)

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        shares = self.shares(z.view(-1, self.count, self.layers)[:, : len(self.parents)])
        return {
            name: torch.einsum("nm,m...->n...", shares[..., self.layer_of[name]], value)
            for name, value in self.layout.unflatten(self.parents).items()
        }

    def shares(self, z: Tensor) -> Tensor:
        """What each network counts in each layer, (n, m, layers) of coefficients -> the same, of sum 1 over m."""
        if self.coefficients == "uniform":
            z = torch.zeros_like(z)
        if self.weights == "convex":
            return (SCALE * z).softmax(dim=1)
        return 1 / z.shape[1] + z - z.mean(dim=1, keepdim=True)
