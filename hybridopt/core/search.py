"""A strategy that asks for candidates and learns from their losses: the only ask/tell loop."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, cast, final

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.ledger import UNLIMITED
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.core.unchanged import Unchanged
from hybridopt.engine.population import Population

T = TypeVar("T")


@dataclass
class Context:
    """What a search knows of its surroundings.

    Args:
        generator: the only source of randomness, on the device of the vectors.
        shapes: the shape of each parameter, in the order of the vectors; None where an encoding stands between.
        progress: the share of the budget that is spent, from 0 to 1: for whatever is annealed.
        horizon: how many losses the whole budget buys; known from ``start`` on, and an estimate where only seconds are
            limited.
        move: which turn of ask and tell it is in this step.
        exact: whether a member's loss is the same in each step: the batch is, and no dropout is drawn.
        known: whether the losses of the step before still hold: on the same batch, with nothing changed in between.
        inherited: what the phase before has handed over; there in ``start``, and empty after a run was resumed.
    """

    generator: torch.Generator = field(default_factory=torch.Generator)
    shapes: Mapping[str, torch.Size] | None = None
    progress: float = 0.0
    horizon: int = UNLIMITED
    move: int = 0
    exact: bool = False
    known: bool = False
    inherited: Handover = field(default_factory=Handover)


def of_context(name: str, kind: type[T]) -> T:
    """A field of a search's context under its own name: ``self.progress`` is ``self.context.progress``."""

    def read(search: Search) -> T:
        return getattr(search.context, name)

    def write(search: Search, value: T) -> None:
        setattr(search.context, name, value)

    return cast(T, property(read, write, doc=f"``context.{name}``, see :class:`Context`."))


class Search(Strategy):
    """The usual way to add an algorithm: ask for candidates, tell their losses.

    An author writes ``start``, ``ask``, ``tell`` and ``recommend``; ``step`` is final, the only ask/tell loop there
    is. What surrounds the search is in ``self.context``, and by name: ``self.generator``, ``self.shapes``,
    ``self.progress``, ``self.horizon``, ``self.move``, ``self.fresh``.

    Class attributes:
        learns_from_points: whether ``tell`` learns from the population that it is given, also where members have been
            moved, in place, since ``ask``: so that what they have learned can be written back into them.

    Attributes:
        context: see :class:`Context`; a search that wraps another one passes it on.
        unchanged: tells whether losses that are known still hold.
        moves_per_step: how often ask and tell take turns on one batch, for searches of few candidates.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"losses"})
    learns_from_points: ClassVar[bool] = False
    moves_per_step: int = 1
    generator = of_context("generator", torch.Generator)
    shapes = of_context("shapes", dict[str, torch.Size])
    progress = of_context("progress", float)
    horizon = of_context("horizon", int)
    move = of_context("move", int)

    def __init__(self) -> None:
        super().__init__()
        self.context = Context()
        self.unchanged = Unchanged()

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        for name in ("attach", "begin", "step", "setup", "deploy"):  # the last two are of the contract before
            if name in vars(cls):
                raise TypeError(
                    f"{cls.__name__} overrides Search.{name}, which is final: write start, ask, tell and recommend, "
                    "or derive from Strategy."
                )

    @property
    def fresh(self) -> bool:
        """Whether losses that are known do not hold: at the first turn on a batch, unless it is that of before."""
        return self.context.move == 0 and not self.context.known

    @abstractmethod
    def start(self, x0: Tensor) -> None:
        """Register the state as buffers; x0 (d,) is the start vector, and the author's to keep."""

    @abstractmethod
    def ask(self) -> Population:
        """Candidates (n, d)."""

    @abstractmethod
    def tell(self, population: Population, losses: Tensor) -> None:
        """Learn from the losses (n,) of the candidates just asked for; lower is better, +inf is a failure."""

    @abstractmethod
    def recommend(self) -> Tensor:
        """The current best guess (d,)."""

    def first_ask(self) -> Population | None:
        """Candidates whose losses on the first batch are wanted before the first ``ask``, to calibrate by; or None."""
        return None

    def first_tell(self, population: Population, losses: Tensor) -> None:
        """Learn from the losses of the candidates that :meth:`first_ask` gave."""
        return

    @final
    def attach(self, oracle: Oracle) -> None:
        context = self.context  # a search that wraps another one has passed it on
        context.generator, context.shapes, context.inherited = oracle.generator, oracle.shapes, oracle.inherited

    @final
    def begin(self, oracle: Oracle, batch: Batch) -> None:
        if oracle.ledger.by_time_alone and oracle.ledger.speed is None:
            self.__take_time(oracle, batch)
        self.__begin(oracle, batch)

    def __begin(self, oracle: Oracle, batch: Batch) -> None:
        self.context.horizon, self.context.exact = oracle.horizon(batch), oracle.repeats
        self.start(oracle.own_start() if self.in_place else oracle.start)
        self.unchanged.forget()
        first = self.first_ask()
        if first is not None:
            self.first_tell(first, oracle.losses(first, batch))

    @final
    def step(self, oracle: Oracle, batch: Batch) -> Record:
        context = self.context
        context.horizon = oracle.horizon(batch)
        told = []
        if self.in_place:
            oracle.keep_in(self.recommend())
        with oracle.evaluating():
            context.known = self.unchanged.since(oracle)
            for context.move in range(self.moves_per_step):
                context.progress = oracle.progress
                population = self.ask()
                losses = oracle.losses(population, batch)
                self.tell(population, losses)
                told.append(losses)
                if oracle.exhausted:
                    break
        self.unchanged.note(oracle)
        return {"loss": (torch.cat(told) if len(told) > 1 else told[0]).min()}

    def __take_time(self, oracle: Oracle, batch: Batch) -> None:
        """Two steps, charged and forgotten, of which the second tells how many losses a budget of seconds buys."""
        drawn, in_place = oracle.generator.get_state(), oracle.in_place
        oracle.in_place = False  # these steps are to leave the model as it is
        self.__begin(oracle, batch)
        self.step(oracle, batch)
        begun, before = time.perf_counter(), oracle.ledger.evaluations
        self.step(oracle, batch)
        oracle.ledger.speed = (oracle.ledger.evaluations - before) / oracle.agreed(time.perf_counter() - begun)
        oracle.generator.set_state(drawn)
        oracle.in_place = in_place
