"""Hybrids that make one network of several which one strategy has found on its way."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.hybrid import Hybrid
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.toolbox.ranges import share

log = logging.getLogger(__name__)

Source = Literal["phases", "last"]


class Mixing(Hybrid):
    """A first phase finds networks, a second one mixes them.

    Networks are the population that the first phase hands over or, by ``source``, what it recommends at the ends of its
    own phases, or every so often in the last part of its share. Its last recommendation is always
    one of them. Where it hands over a mask, all of them are pruned by that. A subclass that takes a population mixes
    the one that it inherits, and the first phase has no turn.

    A subclass says in :meth:`mix` what is made of the networks.

    Args:
        first: the name of the first phase.
        finder: that phase.
        second: the name of the second one.
        mixer: that phase.
        mixing_share: the share of the budget that is kept for the second one.
        source: "phases" or "last"; None is the population where one is handed over, else "last".
        count: how many networks are kept at most, of a population too.
        since: with "last", the share of the first phase after which recommendations are kept.

    Raises:
        ConfigError: a number is out of range.
    """

    recommends_mean: ClassVar[bool] = True
    kept: Tensor  # (k, d), recommendations on the way

    def __init__(
        self,
        first: str,
        finder: Strategy,
        second: str,
        mixer: Strategy,
        mixing_share: float,
        source: Source | None,
        count: int,
        since: float,
    ):
        share("strategy", "(0, 1)", **{f"{second}_share": mixing_share})
        share("strategy", "[0, 1)", since=since)
        super().__init__({first: finder, second: mixer}, {first: 1 - mixing_share, second: mixing_share})
        self.finder, self.first, self.second = finder, first, second
        self.source = source or ("population" if "population" in finder.hands_over else "last")
        self.count, self.since = count, since

    @abstractmethod
    def mix(self, found: Tensor, oracle: Oracle, batch: Batch) -> None:
        """Called before the second phase begins.

        Args:
            found: networks (n, d), in the oracle's coordinates; the first is what the first phase recommends.
            oracle: the hybrid's.
            batch: the one of the step.
        """

    @property
    def hands_over(self) -> frozenset[str]:
        """The mask of the first phase."""
        return self.finder.hands_over & {"mask"}

    def handover(self) -> Handover:
        there = self.hands_over and self.first in self.begun
        return Handover(mask=self.finder.handover().mask) if there else Handover()

    def opening(self, oracle: Oracle) -> str:
        inherits = "population" in self.takes and oracle.inherited.population is not None
        return self.second if inherits else self.first

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        like = next(oracle.model.parameters())
        self.register_buffer("kept", like.new_zeros(0, oracle.dimension))
        super().begin(oracle, batch)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        record = super().step(oracle, batch)
        if self.current == self.first and self._due():
            z = self.finder.recommend()
            here = (self.active_view.point if z is None else z).detach()
            self.kept = torch.cat([self.kept, here[None]])[-(self.count - 1) :]
        if self.current == self.first and oracle.exhausted:
            log.warning(f"The budget was spent in {self.first}: raise strategy.{self.second}_share, or the budget.")
        return record

    def prepare(self, name: str, oracle: Oracle, batch: Batch) -> None:
        if name == self.second:
            self.mix(self._found(oracle), oracle, batch)
            self.kept = self.kept[:0]

    def _due(self) -> bool:
        """Whether what is recommended after this step is one of the networks."""
        if self.source == "phases":
            return self.finder.phase_over()
        taken, last = len(self.kept), self.count - 1
        due = self.since + (1 - self.since) * taken / last
        return self.source == "last" and taken < last and self.active_view.progress >= due

    def _found(self, oracle: Oracle) -> Tensor:
        """The last recommendation, and the others, (n, d)."""
        if self.first not in self.begun:
            start, inherited = oracle.start[None], oracle.inherited.population
            return start if inherited is None else torch.cat([start, inherited])
        z = self.finder.recommend()
        last = (oracle.point if z is None else z).detach()
        others = self.finder.handover().population if self.source == "population" else self.kept
        found = last[None] if others is None else torch.cat([last[None], others.to(last)])
        return torch.where(last == 0, 0.0, found) if "mask" in self.finder.hands_over else found


def affordable(oracle: Oracle, batch: Batch, each: int = 1) -> int:
    """How many networks may be judged on this batch by so many losses each, with what is left of the budget; 1 or more.

    Args:
        oracle: whose account is asked.
        batch: inputs and targets.
        each: losses of a network.
    """
    return max(1, int(oracle.horizon(batch) * (1 - oracle.progress)) // each)


def ranked(found: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
    """Networks (n, d) and their losses (n,) in the order of these, the first among equals first."""
    order = losses.argsort(stable=True)
    return found[order.to(found.device)], losses[order]
