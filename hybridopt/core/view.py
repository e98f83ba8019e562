"""What a strategy sees of a model before it asks anything: coordinates, a start, an account; and other views of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast

import torch
from torch import Tensor, nn

from hybridopt.core.coordinates import Coordinates, Mask
from hybridopt.core.encoding import Direct, Encoding
from hybridopt.core.handover import Handover
from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.objective import Batch, Objective
from hybridopt.engine.derivatives import EachRow
from hybridopt.engine.evaluator import Evaluator
from hybridopt.engine.population import Population
from hybridopt.engine.sharding import Sharding
from hybridopt.engine.trees import samples
from hybridopt.errors import ConfigError

Closure = Callable[[], Tensor]
Improve = Callable[[Population, Batch], Population]


@dataclass
class Feed:
    """What whoever runs a strategy tells it; one object for all views of an oracle.

    Args:
        unchanged: whether each batch is the one before, such as the full training set.
        directions: each metric of validation by name, and whether higher is better, None where neither is.
        curve: (forwards, their values by name) at each mark so far.
    """

    unchanged: bool = False
    directions: Mapping[str, bool | None] = field(default_factory=dict)
    curve: Sequence[tuple[int, Mapping[str, float]]] = ()


def plain_update(optimizer: torch.optim.Optimizer, closure: Closure | None = None) -> None:
    """One step of an optimiser outside of any Trainer."""
    optimizer.step(cast(Any, closure))  # torch's stubs want a number, its optimisers take a tensor


class View:
    """What an :class:`~hybridopt.core.oracle.Oracle` knows without running the network.

    Attributes:
        dimension: the length d of a search vector.
        shapes: the shape of each parameter, in the order of a search vector; None where an encoding stands between.
        direct: whether search vectors are the parameters themselves.
        device: where the model is.
        inherited: what the phase before has handed over; empty outside of a hybrid.
        feed: what is known of the batches to come, and what validation has said; whoever runs the strategy says so.

    Args:
        model: the network; first-order calls are evaluated at its current parameters.
        objective: what is minimised.
        ledger: charged for every call.
        generator: the only source of randomness, on the model's device.
        encoding: how search vectors become parameters; the parameters themselves if None.
        mode: how a population is run: "auto", "vmap" or "loop".
        chunk: how many members are run at a time: "auto" or a number.
        dropout: whether populations are run with dropout on, each member with draws of its own; over several processes
            they are others than in one.
        batch_statistics: whether populations are normalised by the batch's statistics, not by the running ones.
        precision: "float32", or "bf16" for the passes of populations in bfloat16 (:mod:`hybridopt.engine.precision`);
            losses are float32, and gradients are taken of float32.
        graph: "none", or "auto" to record evaluations of populations and replay them, on devices that can
            (:mod:`hybridopt.engine.replay`).
        backward: takes the place of ``loss.backward()`` (Lightning's, which knows precision and processes).
        update: takes the place of ``optimizer.step()`` (Lightning's, likewise).
        sharding: how a population is shared out over processes.
        in_place: whether a search whose vector changes in place may keep it in the memory of the model's parameters,
            where these are large (:mod:`hybridopt.engine.in_place`).
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        ledger: Ledger,
        generator: torch.Generator,
        *,
        encoding: Encoding | None = None,
        mode: str = "auto",
        chunk: Literal["auto"] | int = "auto",
        dropout: bool = False,
        batch_statistics: bool = False,
        precision: str = "float32",
        graph: str = "none",
        backward: Callable[[Tensor], Any] = Tensor.backward,
        update: Callable[[torch.optim.Optimizer, Closure | None], Any] = plain_update,
        sharding: Sharding | None = None,
        in_place: bool = False,
    ):
        if mode not in ("auto", "vmap", "loop"):
            raise ConfigError(f"oracle.mode must be auto, vmap or loop, but is {mode!r}.")
        if chunk != "auto" and not (isinstance(chunk, int) and chunk > 0):
            raise ConfigError(f"oracle.chunk must be auto or a positive whole number, but is {chunk!r}.")
        self.model, self.objective, self.ledger, self.generator = model, objective, ledger, generator
        self._all_parameters = [*model.parameters()]
        self.device = self._all_parameters[0].device
        self.inherited = Handover()
        self.feed = Feed()
        self.in_place = in_place and precision == "float32"  # operations are given what is in the vector
        self._noisy, self._mode = dropout, mode
        self._chunk: Literal["auto"] | int = chunk
        self._improve: Improve | None = None
        self._group: frozenset[str] | None = None  # the names of the parameters that there are; None for all
        self._evaluate = Evaluator(model, mode, chunk, dropout, batch_statistics, sharding, precision, graph)
        self._records = graph != "none"
        self._directions, self._samples = EachRow(mode != "loop"), EachRow(mode != "loop")
        self._backward, self._update = backward, update
        self._see_through(Coordinates(self.parameters(), encoding or Direct()))

    def _see_through(self, coordinates: Coordinates) -> Self:
        self._coordinates, self.encoding, self.mask = coordinates, coordinates.encoding, coordinates.mask
        self.dimension, self.shapes, self.direct = coordinates.dimension, coordinates.shapes, coordinates.direct
        return self

    # -- views: the same oracle with another encoding, mask, start, objective or account ------------------------------

    def encoded(self, encoding: Encoding) -> Self:
        """The same oracle in another encoding, in which nothing but a mask can be inherited."""
        view = copy.copy(self)._see_through(self._coordinates.encoded(encoding))
        view.inherited = Handover(mask=self.inherited.mask)
        return view

    def masked(self, mask: Mask) -> Self:
        """The same oracle, in which masked parameters are zero and stay zero.

        Args:
            mask: name -> boolean (\\*shape), False where a parameter is to be zero; unnamed parameters are free.
        """
        return copy.copy(self)._see_through(self._coordinates.masked(mask))

    def restricted(self, names: Iterable[str]) -> Self:
        """The same oracle of a group of the parameters, in direct coordinates: the others are as the model has them.

        Args:
            names: of the parameters; nothing is inherited but a mask.
        """
        view = copy.copy(self)
        view._group = frozenset(names)
        return view._see_through(Coordinates(view.parameters(), Direct(), self.mask))

    def starting_at(self, z: Tensor) -> Self:
        """The same oracle, with z (d,) as the start of a strategy."""
        return copy.copy(self)._see_through(self._coordinates.starting_at(z))

    def inheriting(self, handover: Handover) -> Self:
        """The same oracle, with what the phase before has handed over."""
        view = copy.copy(self)
        view.inherited = handover
        return view

    def improving(self, improve: Improve) -> Self:
        """The same oracle, in which members are changed before they are evaluated, such as by a few steps of descent.

        Args:
            improve: (population, batch) -> the population to evaluate in its place; charges for itself.
        """
        view = copy.copy(self)
        view._improve = improve
        return view

    def with_objective(self, objective: Objective) -> Self:
        """The same oracle with another objective."""
        view = copy.copy(self)
        view.objective = objective
        return view

    def unmetered(self) -> Self:
        """The same oracle for validation and test: nobody is charged, and networks are run as they are validated.

        That is in float32, without dropout, and by running statistics, whatever populations have in training.
        """
        view = copy.copy(self)
        view.ledger = Ledger(Budget(evaluations=float(2**62)))
        view._evaluate = Evaluator(self.model, self._mode, self._chunk, sharding=self._evaluate.sharding)
        view._records = False
        return view

    def phase(self, name: str, until: float | None = None) -> Self:
        """The same oracle with the account of a phase, which becomes the active one.

        Args:
            name: the phase.
            until: the share of this budget until which it may spend; None shares the budget with the other phases.
        """
        view = copy.copy(self)
        view.ledger = self.ledger.phase(name, until)
        return view

    def resumed(self, name: str) -> Self:
        """The same oracle with the account of a phase as a checkpoint has it."""
        view = copy.copy(self)
        view.ledger = self.ledger.phases[name]
        return view

    def displaced(self, offset: Tensor) -> Self:
        """The same oracle, in which z (d,) stands for what z + offset does here.

        A strategy that goes on where another one has been is moved there by this, whatever its state is made of.
        """
        return copy.copy(self)._see_through(self._coordinates.displaced(offset))

    # -- what is known -----------------------------------------------------------------------------------------------

    @property
    def start(self) -> Tensor:
        """The start vector (d,), a copy for whoever asks; in the direct encoding, the parameters as they are now."""
        return self._coordinates.start(self.generator)

    def own_start(self) -> Tensor:
        """The start vector (d,), for a search that changes it in place alone: the model's parameters may be in it."""
        if not (self.in_place and self.direct):
            return self.start
        return self._coordinates.own_start(self.model, self.generator)

    def keep_in(self, z: Tensor) -> None:
        """Let the model's parameters be in the memory of z (d,), such as of a checkpoint, if they may be at all."""
        if self.in_place and self.direct and self._coordinates.large:
            self._coordinates.keep_in(self.model, z)

    @property
    def point(self) -> Tensor:
        """The model's parameters as they stand (d,), a copy; in direct coordinates only."""
        return self._coordinates.point()

    @property
    def progress(self) -> float:
        """The share of this account's budget that is spent, from 0 to 1."""
        return min(1.0, self.ledger.progress)

    @property
    def exhausted(self) -> bool:
        """Whether this account's budget is spent."""
        return self.ledger.exhausted

    def horizon(self, batch: Batch) -> int:
        """How many losses on batches of this size the whole of this account's budget buys."""
        return self.ledger.losses_of(samples(batch[0]))

    @property
    def repeats(self) -> bool:
        """Whether a member's loss is the same in each step: the batch is, and no dropout is drawn."""
        return self.feed.unchanged and not self._noisy

    def parameters(self) -> dict[str, nn.Parameter]:
        """The model's trainable parameters by name: the tensors themselves, not copies; a group's are its own."""
        return {
            name: value
            for name, value in self.model.named_parameters()
            if value.requires_grad and (self._group is None or name in self._group)
        }

    def vector_of(self, view: View, z: Tensor) -> Tensor:
        """What z (d,) is, a vector of a view of this oracle, in this oracle's coordinates."""
        return self._coordinates.vector_of(view._coordinates, z)

    @property
    def remaining(self) -> int | None:
        """Forwards left, or None where they are not limited."""
        return self.ledger.remaining

    # -- the model's parameters --------------------------------------------------------------------------------------

    def assign(self, z: Tensor) -> None:
        """Make the model's parameters decode(z), z being (d,)."""
        self._coordinates.assign(z)

    def standing_in(self, z: Tensor | None) -> AbstractContextManager[None]:
        """Inside, the model's parameters are decode(z), without a copy; afterwards they are what they were.

        Args:
            z: (d,), such as a recommendation; None leaves the model as it is.
        """
        return self._coordinates.standing_in(z)

    def apply_mask(self) -> None:
        """Set the model's masked parameters to exactly zero."""
        self._coordinates.apply_mask()
