"""Searches for fronts by a population that lives on: what they ask for on a new batch, and what becomes of failures."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.engine.population import Population, materialize
from hybridopt.toolbox import inheritance
from hybridopt.toolbox.front_search import FrontSearch
from hybridopt.toolbox.fronts import best


class FrontPopulation(FrontSearch):
    """Asks for the first members, then for children; on a batch that is new, also for the members once more.

    Readings are only compared with others of the same batch, so that no lucky batch decides. A first generation of
    nothing but failures is replaced by :meth:`nearer`; a later one teaches nothing. An author writes ``first``,
    ``offspring`` and ``survivors``.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"population"})
    learns_from_points: ClassVar[bool] = True
    x0: Tensor  # (d,), the start
    members: Tensor  # (n, d)
    values: Tensor  # (n, k), their readings; +inf at first

    @abstractmethod
    def first(self, x0: Tensor) -> Tensor:
        """The first members (n, d), of which the first is the start; further state is made here, too."""

    @abstractmethod
    def offspring(self) -> Tensor:
        """Children (c, d) of the members."""

    @abstractmethod
    def survivors(self, own: Tensor, new: Tensor) -> Tensor:
        """Who lives on: places (n,) in members and children, one after the other.

        Args:
            own: the readings (n, k) of the members; (0, k) in the first generation.
            new: those of the children (c, k). At least one member or child has nothing but finite readings.
        """

    def nearer(self) -> Tensor:
        """What takes the place of first members (n, d) that have all failed: members half as far from the start."""
        return self.x0 + (self.members - self.x0) / 2

    @property
    def able(self) -> Tensor:
        """Which members (n,) have nothing but finite readings."""
        return torch.isfinite(self.values).all(dim=1)

    @property
    def first_generation(self) -> bool:
        """Whether no member has finite readings yet."""
        return not bool(self.able.any())

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x0", x0.clone())
        self.register_buffer("members", inheritance.members(self.context.inherited, self.first(x0)))
        exact = torch.promote_types(x0.dtype, torch.float32)
        size = (len(self.members), len(self.names))
        self.register_buffer("values", x0.new_full(size, torch.inf, dtype=exact))

    def ask(self) -> Tensor:
        if self.first_generation:
            return self.members.clone()
        children = self.offspring()
        return torch.cat([self.members, children]) if self.fresh else children

    def tell(self, population: Population, readings: Tensor) -> None:
        told, readings, first = materialize(population), readings.to(self.values), self.first_generation
        if not torch.isfinite(readings).all(dim=1).any():
            self.members = self.nearer() if first else self.members
            return
        members, values = (self.members[:0], self.values[:0]) if first else (self.members, self.values)
        if self.fresh and not first:
            again = len(members)
            members, values, told, readings = told[:again], readings[:again], told[again:], readings[again:]
        places = self.survivors(values, readings)
        self.members, self.values = torch.cat([members, told])[places], torch.cat([values, readings])[places]

    def front(self) -> Tensor:
        return self.members[best(self.values)]

    def front_readings(self) -> Tensor:
        return self.values[best(self.values)]
