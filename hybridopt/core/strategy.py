"""What trains: the contract of every strategy, and the only ask/tell loop."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast, final

import torch
from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.core.handover import Handover
from hybridopt.core.ledger import UNLIMITED
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.unchanged import Unchanged
from hybridopt.engine.buffers import LateBuffers
from hybridopt.engine.population import Population

Record = Mapping[str, float | Tensor]
"""Scalars of a step by name, to be logged; "loss" is the training loss."""

T = TypeVar("T")

Parts = Mapping[str, "tuple[Strategy, Encoding]"]


class Strategy(LateBuffers, ABC):
    """What trains a network: a search, a gradient method, or a hybrid of strategies.

    All state that must survive a checkpoint is in buffers, in the optimisers of :meth:`optimizers`, or in
    ``get_extra_state`` (tensors and plain values only). A buffer may change its shape from step to step, and may be
    registered late: loading a checkpoint brings back the buffers as they were.

    Class attributes:
        requires: what the strategy needs. Of the oracle's answers: "losses", "outputs", "gradient", "jvp", "jacobian",
            "activations". Of the setting: "objectives" (several of them), "direct" (it works on the parameters
            themselves, in no encoding), "loss_slope" (a loss that is differentiable by the outputs). Checked for each
            phase before anything runs.
        hands_over: the fields of :class:`Handover` that the strategy gives to the next phase of a hybrid.
        takes: those that it uses where the phase before gives them.
        search_space: what is worth tuning: settings, each with its values in Hydra's grammar of sweeps, such as
            ``{"sigma": "tag(log, interval(0.01, 1.0))"}``. ``hydra/sweeper=optuna`` searches them. A plugin that is a
            function has it as an attribute.
        showcase: overrides with which the strategy is at its best on digits, for the guide in docs/methods.md.
        recommends_mean: whether what it recommends is a mean of networks, to which the running statistics of batch
            normalisation that these have learned do not belong; the trial then estimates them, and charges for it.
        in_place: of a search: whether ``start`` keeps x0 itself, ``recommend`` gives that tensor for the whole run, and
            ``tell`` alone changes it, in place. A large network then has its parameters in the same memory.
    """

    requires: ClassVar[frozenset[str]]
    hands_over: ClassVar[frozenset[str]] = frozenset()
    takes: ClassVar[frozenset[str]] = frozenset()
    search_space: ClassVar[Mapping[str, str]] = {}
    showcase: ClassVar[tuple[str, ...]] = ()
    recommends_mean: ClassVar[bool] = False
    in_place: ClassVar[bool] = False

    def attach(self, oracle: Oracle) -> None:
        """Bind to an oracle: views, layouts, optimisers; refuse what cannot work.

        Called in each process before the first step, after each load of a checkpoint, and at each turn of a phase. It
        makes no state, draws nothing and changes nothing; optimisers are made at the first call and kept.

        Raises:
            ConfigError: the strategy cannot work with this network or objective.
        """
        return

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        """Make the first state: called once, just before the first step, with the batch of that step.

        ``oracle.start`` is where to start, ``oracle.inherited`` what the phase before has handed over.
        """
        return

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
        """The arms that show what each part of a hybrid contributes, at equal cost: name -> overrides of the same job.

        ``"strategy=@finetune"`` puts a part of the strategy, with its settings, in the place of the whole: the one at
        ``strategy.finetune``. The names read as what is left out: "without the search". ``sweep.controls=true`` runs
        them in a sweep.

        Args:
            settings: of the strategy, as its part of a job's config has them.
        """
        return {}

    @abstractmethod
    def step(self, oracle: Oracle, batch: Batch) -> Record:
        """One iteration.

        Args:
            oracle: the one that was attached.
            batch: inputs and targets, on the device.

        Returns:
            Scalars to log by name; "loss" is the training loss.
        """

    def recommend(self) -> Tensor | None:
        """The current best guess (d,), in the attached oracle's coordinates; None for the model as it stands."""
        return None

    def front(self) -> Tensor | None:
        """Of a run with several objectives the trade-offs that were found (m, d), in the attached oracle's coordinates.

        None where there is but the recommendation; the front then is what is recommended on the way.
        """
        return None

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """The torch optimisers that :meth:`attach` made, whose state the Trainer keeps; step by ``oracle.update``."""
        return []

    def finished(self) -> bool:
        """Whether there is nothing left to do: a phase ends before its share is spent, a run before its budget."""
        return False

    def phase_over(self) -> bool:
        """Whether a phase inside has ended with the last step, so that it is validated before the next one begins."""
        return False

    def handover(self) -> Handover:
        """What the next phase of a hybrid may use."""
        return Handover()

    def parts(self, encoding: Encoding) -> Parts:
        """The strategies inside, by their place in the config, each with the encoding that it works in.

        Args:
            encoding: the one that this strategy works in.
        """
        return {}

    def artifacts(self, folder: Path) -> None:
        """Write what is worth keeping besides the weights, such as an archive and its picture.

        Called once after the test, on the first rank; the files are kept with the run, in MLflow under ``artifacts``.

        Args:
            folder: exists, and is empty.
        """
        return

    def facts(self) -> Mapping[str, str]:
        """What is worth a tag on the run and shows only at run time, such as a concrete algorithm that was chosen."""
        return {}


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
