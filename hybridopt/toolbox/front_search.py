"""Searches for fronts: the networks of which none is better than another one by all objectives of a run."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.search import Context
from hybridopt.core.strategy import Record, Strategy
from hybridopt.core.unchanged import Unchanged
from hybridopt.engine.population import Population
from hybridopt.toolbox.fronts import Choice

PROBLEM = {"name": "several", "parts": {"loss": {"name": "cross_entropy"}, "size": {"name": "l1_norm"}}}


class FrontSearch(Strategy):
    """The usual way to add a multi-objective algorithm: ask for candidates, tell how they fare by each objective.

    An author writes ``start``, ``ask``, ``tell``, ``front`` and ``front_readings``. What is recommended is chosen from
    the front by a stated rule.

    Class attributes:
        learns_from_points: whether ``tell`` learns from the population that it is given, also where members have been
            moved, in place, since ``ask``.

    Attributes:
        context: see :class:`~hybridopt.core.search.Context`.
        names: of the objectives, in the order of the readings; known from :meth:`attach` on.

    Args:
        choice: what is recommended of a front.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"losses", "objectives"})
    hands_over: ClassVar[frozenset[str]] = frozenset({"population"})
    learns_from_points: ClassVar[bool] = False
    conformance: ClassVar[dict[str, Any]] = {"problem": {"objective": PROBLEM}}

    def __init__(self, choice: Choice):
        super().__init__()
        self.choice = choice
        self.context, self.unchanged = Context(), Unchanged()
        self.names: tuple[str, ...] = ()

    @property
    def generator(self) -> torch.Generator:
        """The only source of randomness, on the device of the vectors."""
        return self.context.generator

    @property
    def progress(self) -> float:
        """The share of the budget that is spent, from 0 to 1."""
        return self.context.progress

    @property
    def fresh(self) -> bool:
        """Whether readings that are known do not hold, since the batch is another one than in the step before."""
        return not self.context.known

    @abstractmethod
    def start(self, x0: Tensor) -> None:
        """Register the state as buffers; x0 (d,) is the start vector, and the author's to keep."""

    @abstractmethod
    def ask(self) -> Population:
        """Candidates (n, d)."""

    @abstractmethod
    def tell(self, population: Population, readings: Tensor) -> None:
        """Learn from the readings (n, k) of the candidates just asked for; lower is better, +inf is a failure."""

    @abstractmethod
    def front(self) -> Tensor:
        """The best trade-offs so far (m, d), none of them dominated by another one."""

    @abstractmethod
    def front_readings(self) -> Tensor:
        """How they fare in training (m, k)."""

    @final
    def attach(self, oracle: Oracle) -> None:
        self.context.generator, self.context.shapes = oracle.generator, oracle.shapes
        self.context.inherited = oracle.inherited
        self.names = tuple(oracle.objective.parts)
        self.choice.check(self.names)

    @final
    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.context.horizon, self.context.exact = oracle.horizon(batch), oracle.repeats
        self.unchanged.forget()
        self.start(oracle.start)

    @final
    def step(self, oracle: Oracle, batch: Batch) -> Record:
        context = self.context
        context.horizon, context.progress = oracle.horizon(batch), oracle.progress
        with oracle.evaluating():
            context.known = self.unchanged.since(oracle)
            population = self.ask()
            readings = oracle.readings(population, batch)
            self.tell(population, readings)
        self.unchanged.note(oracle)
        return {"loss": readings[:, 0].min(), "front/members": float(len(self.front_readings()))}

    @final
    def recommend(self) -> Tensor:
        return self.front()[self.choice.of(self.front_readings(), self.names)]

    def handover(self) -> Handover:
        return Handover(population=self.front())
