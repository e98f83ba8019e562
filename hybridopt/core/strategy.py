"""What trains: the contract of every strategy, and the only ask/tell loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.engine.buffers import LateBuffers
from hybridopt.engine.population import Population

Record = Mapping[str, float | Tensor]
"""Scalars of a step by name, to be logged; "loss" is the training loss."""


class Strategy(LateBuffers, ABC):
    """What trains a network: a search, a gradient method, or a hybrid of strategies.

    All state that must survive a checkpoint is in buffers, in the optimisers of :meth:`optimizers`, or in
    ``get_extra_state`` (tensors and plain values only). A buffer may change its shape from step to step, and may be
    registered late: loading a checkpoint brings back the buffers as they were.

    Class attributes:
        requires: which of the oracle's answers the strategy needs: "losses", "gradient", "outputs", "jvp",
            "jacobian", "features". Checked against the objective before anything runs.
        search_space: what is worth tuning: settings, each with its values in Hydra's grammar of sweeps, such as
            ``{"sigma": "tag(log, interval(0.01, 1.0))"}``. ``hydra/sweeper=optuna`` searches them. A plugin that is a
            function has it as an attribute.
        showcase: overrides with which the strategy is at its best on digits, for the guide in docs/methods.md.
    """

    requires: ClassVar[frozenset[str]]
    search_space: ClassVar[Mapping[str, str]] = {}
    showcase: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def setup(self, oracle: Oracle) -> None:
        """Meet the oracle: check that this can work (raise a :class:`ConfigError` if not) and make the first state.

        Called once before the first step, and again before a checkpoint is loaded.
        """

    @abstractmethod
    def step(self, oracle: Oracle, batch: Batch) -> Record:
        """One iteration.

        Args:
            oracle: the door to model and data.
            batch: inputs and targets, on the device.

        Returns:
            Scalars to log by name; "loss" is the training loss.
        """

    def optimizers(self, module: nn.Module) -> list[torch.optim.Optimizer]:
        """The optimisers of a gradient method, over the module's parameters; step them by ``oracle.update``."""
        return []

    def deploy(self, oracle: Oracle) -> None:
        """Make the model's parameters the ones that the strategy recommends now, for validation and test."""
        return

    def facts(self) -> Mapping[str, str]:
        """What is worth a tag on the run and shows only at run time, such as a concrete algorithm that was chosen."""
        return {}


class Search(Strategy):
    """The usual way to add an algorithm: ask for candidates, tell their losses.

    An author writes ``start``, ``ask``, ``tell`` and ``recommend``; ``step`` is final, the only ask/tell loop there
    is. Handed to the author:

    Attributes:
        generator: the only source of randomness, on the device of the vectors.
        shapes: the shape of each parameter, in the order of the vectors; None where an encoding stands between.
        progress: the share of the budget that is spent, from 0 to 1: for whatever is annealed.
        horizon: how many losses the whole budget buys; known from the first ``ask`` on.
        moves_per_step: how often ask and tell take turns on one batch, for searches of few candidates.
        move: which of these turns it is; 0 on a new batch, whose losses do not compare with those before.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"losses"})
    generator: torch.Generator
    shapes: Mapping[str, torch.Size] | None = None
    progress: float = 0.0
    horizon: int | None = None
    moves_per_step: int = 1
    move: int = 0

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        for name in ("setup", "step", "deploy"):
            if name in vars(cls):
                raise TypeError(
                    f"{cls.__name__} overrides Search.{name}, which is final: write start, ask, tell and recommend, "
                    "or derive from Strategy."
                )

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

    @final
    def setup(self, oracle: Oracle) -> None:
        self.generator = oracle.generator
        self.shapes = oracle.shapes
        self.start(oracle.start)

    @final
    def step(self, oracle: Oracle, batch: Batch) -> Record:
        self.horizon = oracle.horizon(batch)
        best = []
        with oracle.evaluating():
            for move in range(self.moves_per_step):
                self.move = move
                self.progress = oracle.progress
                population = self.ask()
                losses = oracle.losses(population, batch)
                self.tell(population, losses)
                best.append(losses.min())
                if oracle.exhausted:
                    break
        return {"loss": torch.stack(best).min()}

    @final
    def deploy(self, oracle: Oracle) -> None:
        oracle.assign(self.recommend())
