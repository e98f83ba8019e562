"""Iterative magnitude pruning (Frankle & Carbin 2019), https://arxiv.org/abs/1803.03635.

Train, prune the smallest of the weights that are left, rewind the others to where they began, and train again.
Rewinding to a point early in training instead: Frankle, Dziugaite, Roy & Carbin 2020,
https://arxiv.org/abs/1912.05671. The controls are theirs: survivors redrawn, or a random mask of the same sparsity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.core.handover import Handover
from hybridopt.core.hybrid import Hybrid
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Parts, Record, Strategy
from hybridopt.engine.buffers import LateBuffers
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.engine.randomness import shuffled, uniform
from hybridopt.engine.weights import weights_of
from hybridopt.errors import ConfigError
from hybridopt.toolbox.ranges import at_least, share


class IterativeMagnitudePruning(Hybrid):
    """Rounds of training, each on a sparser network, that begin at the same initial weights.

    Good for sparse networks that train as well as the whole, where training several times is no matter.

    Weights are the parameters with two or more dimensions; the others are never pruned. The budget is shared equally
    by the rounds, so that the last one, whose network is reported, has one share of it.

    Args:
        train: trains the network in each round; any strategy.
        rounds: how often the network is trained; it is pruned between rounds.
        sparsity: the share of the weights that is zero in the last round; each prunes the same share of those left.
        scope: "global" compares all weights of the network, "layer" those of each layer with one another.
        rewind_share: how far into the first round the weights are rewound to, as a share of it; 0 for the initial ones.
            Buffers, such as the running statistics of batch normalisation, are rewound with them.
        survivors: what becomes of the weights that are left: "rewind" to where they were, or "redraw", the control.
        mask: what is kept: the largest weights by "magnitude"; those that an evolution strategy is surest of by
            "signal_to_noise", mean over width (Lange & Sprekeler 2023, https://arxiv.org/abs/2306.00045), where
            ``train`` hands over widths, as snes and cem do; or any, by "random", the control.

    Raises:
        ConfigError: a number is out of range, or the model has no weight to prune.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"direct"})
    hands_over: ClassVar[frozenset[str]] = frozenset({"mask"})
    conformance: ClassVar[dict[str, Any]] = {
        "settings": [{"rounds": 3}, {"mask": "signal_to_noise", "train": {"name": "snes"}}],
        "expected_failures": {
            "writes_through_the_oracle": "weights and running statistics go back to what they were, before the mask"
        },
    }
    initial: Tensor  # (d,), the weights that are rewound to
    mask: Tensor  # (d,), boolean
    pruned: Tensor  # a whole number, how often
    rewind_point_kept: Tensor  # a boolean

    def __init__(
        self,
        train: Annotated[Strategy, "adam"],
        rounds: int = 5,
        sparsity: float = 0.8,
        scope: Literal["global", "layer"] = "global",
        rewind_share: float = 0.0,
        survivors: Literal["rewind", "redraw"] = "rewind",
        mask: Literal["magnitude", "signal_to_noise", "random"] = "magnitude",
    ):
        at_least("strategy", 2, rounds=rounds)  # it prunes between rounds
        share("strategy", "[0, 1)", sparsity=sparsity, rewind_share=rewind_share)
        if mask == "signal_to_noise" and "sigma" not in train.hands_over:
            raise ConfigError(
                f"strategy.mask=signal_to_noise prunes by the widths of a search, and {type(train).__name__} hands "
                "none over: choose one that does, such as strategy/train=snes."
            )
        names = [f"round_{k}" for k in range(rounds)]
        super().__init__(dict.fromkeys(names, train), dict.fromkeys(names, 1 / rounds))  # it begins again in each
        self.rounds, self.sparsity, self.scope = rounds, sparsity, scope
        self.rewind_share, self.survivors, self.criterion = rewind_share, survivors, mask
        self.statistics = LateBuffers()  # b<i>: the network's buffers where the weights are rewound to

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {
            "without pruning": ("strategy=@train",),
            "with a random mask": ("strategy.mask=random",),
            "with weights redrawn": ("strategy.survivors=redraw",),
        }

    def attach(self, oracle: Oracle) -> None:
        own = oracle.parameters()
        self.layout = ParameterLayout.of(own)
        self.prunable = list(weights_of(own))
        super().attach(oracle)

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.register_buffer("initial", self.layout.flatten(oracle.parameters()))
        self.register_buffer("mask", torch.ones_like(self.initial, dtype=torch.bool))
        self.register_buffer("pruned", torch.zeros((), dtype=torch.int64))
        self.register_buffer("rewind_point_kept", torch.zeros((), dtype=torch.bool))
        self._keep_statistics(oracle)
        super().begin(oracle, batch)

    def parts(self, encoding: Encoding) -> Parts:
        return {"train": (self.phases["round_0"], encoding)}

    def view(self, name: str, oracle: Oracle) -> Oracle:
        return oracle.masked(self.layout.named(self.mask)) if self.current == name else oracle

    def prepare(self, name: str, oracle: Oracle, batch: Batch) -> None:
        if name != "round_0":
            self._prune(oracle)
            self._rewind(oracle)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        record = super().step(oracle, batch)
        early = self.current == "round_0" and not self.rewind_point_kept and self.rewind_share > 0
        if early and self.active_view.progress >= self.rewind_share:
            recommended = self.recommend()
            self.initial = self.layout.flatten(oracle.parameters()) if recommended is None else recommended.clone()
            self._keep_statistics(oracle)
            self.rewind_point_kept.fill_(True)
        return record

    def handover(self) -> Handover:
        named = self.layout.named(self.mask)
        return Handover(mask={name: named[name] for name in self.prunable})

    def _prune(self, oracle: Oracle) -> None:
        """One round's share: the smallest weights that are left, or any."""
        self.pruned += 1
        kept = (1 - self.sparsity) ** (int(self.pruned) / (self.rounds - 1))
        weights = self.layout.named(self.layout.flatten(oracle.parameters()))
        sigma = self.phases["round_0"].handover().sigma if self.criterion == "signal_to_noise" else None
        widths = {} if sigma is None else self.layout.named(sigma)
        scores = {name: self._scores(weights[name], widths.get(name), oracle) for name in self.prunable}
        masks = self.layout.named(self.mask.clone())
        groups = [self.prunable] if self.scope == "global" else [[name] for name in self.prunable]
        for group in groups:
            left = torch.cat([masks[name].flatten() for name in group])
            values = torch.cat([scores[name].flatten() for name in group]).masked_fill(~left, -1.0)
            keep = torch.zeros_like(left)
            keep[values.topk(max(1, round(kept * len(left)))).indices] = True
            for name, part in zip(group, keep.split([masks[name].numel() for name in group]), strict=True):
                masks[name] = part.view_as(masks[name])
        self.mask = self.layout.flatten(masks)

    def _scores(self, weight: Tensor, width: Tensor | None, oracle: Oracle) -> Tensor:
        if self.criterion == "random":
            return uniform(weight.shape, weight, oracle.generator)
        return weight.abs() if width is None else weight.abs() / width

    def _keep_statistics(self, oracle: Oracle) -> None:
        for i, value in enumerate(oracle.model.buffers()):
            self.statistics.register_buffer(f"b{i}", value.clone())

    def _rewind(self, oracle: Oracle) -> None:
        own, values = oracle.parameters(), self.layout.named(self.initial)
        with torch.no_grad():
            for name, value in values.items():
                own[name].copy_(shuffled(value, oracle.generator) if self.survivors == "redraw" else value)
            for here, kept in zip(oracle.model.buffers(), self.statistics.buffers(), strict=True):
                here.copy_(kept)
