"""The only door through which a strategy reaches model and data. It meters every call."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import jacrev, jvp, vmap
from torch.utils._pytree import tree_map

from hybridopt.core.encoding import Direct, Encoding
from hybridopt.core.ledger import FORWARD, GRADIENT, JVP, Ledger, jacobian_cost
from hybridopt.core.objective import Batch, Objective
from hybridopt.engine.forward import (
    MEMORY,
    LowRankParameter,
    Parameters,
    PopulationForward,
    call_with,
    evaluating,
    out_of_memory,
)
from hybridopt.engine.parameters import FlatParameters
from hybridopt.engine.population import LowRankPopulation, Population, SeededPopulation, materialize
from hybridopt.engine.sharding import Alone, Sharding
from hybridopt.errors import ConfigError, brief

log = logging.getLogger(__name__)

TYPICAL_OUTPUTS = 16  # by which the memory of a Jacobian is guessed

Mask = Mapping[str, Tensor]


Closure = Callable[[], Tensor]


def plain_update(optimizer: torch.optim.Optimizer, closure: Closure | None = None) -> None:
    """One step of an optimiser outside of any Trainer."""
    optimizer.step(closure)


def sliced(population: Population, members: slice) -> Population:
    """The population restricted to a slice of its members; the population itself if these are all."""
    whole = members.start == 0 and members.stop == len(population)
    return population if whole else population[members]


class Oracle:
    """What a strategy may ask of a model and its data.

    Attributes:
        dimension: the length d of a search vector.

    Args:
        model: the network; its parameters are the point that first-order calls speak of.
        objective: what is minimised.
        ledger: charged for every call.
        generator: the only source of randomness, on the model's device.
        encoding: how search vectors become parameters; the parameters themselves if None.
        mode: how a population is run: "auto", "vmap" or "loop".
        chunk: how many members are run at a time: "auto" or a number.
        dropout: whether populations are run with dropout on, each member with draws of its own; over several processes
            they are others than in one.
        batch_statistics: whether populations are normalised by the batch's statistics, not by the running ones.
        backward: takes the place of ``loss.backward()`` (Lightning's, which knows precision and processes).
        update: takes the place of ``optimizer.step()`` (Lightning's, likewise).
        sharding: how a population is shared out over processes.
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
        chunk: str | int = "auto",
        dropout: bool = False,
        batch_statistics: bool = False,
        backward: Callable[[Tensor], Any] = Tensor.backward,
        update: Callable[[torch.optim.Optimizer, Closure | None], Any] = plain_update,
        sharding: Sharding | None = None,
    ):
        if mode not in ("auto", "vmap", "loop"):
            raise ConfigError(f"oracle.mode must be auto, vmap or loop, but is {mode!r}.")
        if chunk != "auto" and not (isinstance(chunk, int) and chunk > 0):
            raise ConfigError(f"oracle.chunk must be auto or a positive whole number, but is {chunk!r}.")
        self.model = model
        self.objective = objective
        self.ledger = ledger
        self.generator = generator
        self.mask: Mask | None = None
        self._pruned: list[tuple[nn.Parameter, Tensor]] = []  # parameters, and where they are masked
        self._population_forward = PopulationForward(model, mode)
        self._chunk = chunk
        self._chunks: dict[tuple[int, ...], int] = {}
        self._charged = 0  # forwards of this process
        self._modes = {"dropout": dropout, "batch_statistics": batch_statistics}
        self._backward = backward
        self._update = update
        self._sharding = sharding or Alone()
        self._attach(encoding or Direct())

    def _attach(self, encoding: Encoding) -> None:
        self.encoding = encoding
        start = encoding.attach(self.parameters(), self.generator)
        self.dimension = len(start)
        self._start = None if isinstance(encoding, Direct) else start  # the model itself has it: no copy is kept

    # -- views: the same door, spoken to in another way --------------------------------------------------------------

    def encoded(self, encoding: Encoding) -> Oracle:
        """The same door, spoken to in another encoding; the same ledger."""
        view = copy.copy(self)
        view._attach(encoding)
        return view

    def masked(self, mask: Mask) -> Oracle:
        """The same door, behind which masked parameters are zero and stay zero.

        Args:
            mask: name -> boolean (\\*shape), False where a parameter is to be zero; unnamed parameters are free.
        """
        view = copy.copy(self)
        kept = {name: value.to(self.device) for name, value in mask.items()}
        view.mask = {name: value & kept.get(name, value) for name, value in {**kept, **(self.mask or {})}.items()}
        own = self.parameters()
        view._pruned = [(own[name], ~value) for name, value in view.mask.items() if name in own and not value.all()]
        view.apply_mask()
        view._attach(self.encoding)
        return view

    def judged_by(self, objective: Objective) -> Oracle:
        """The same door, behind which another objective is minimised; the same ledger."""
        view = copy.copy(self)
        view.objective = objective
        return view

    def phase(self, name: str, until: float) -> Oracle:
        """The same door with an account of its own, that lasts until the share ``until`` of this budget is spent."""
        view = copy.copy(self)
        view.ledger = self.ledger.phase(name, until)
        return view

    # -- what is known -----------------------------------------------------------------------------------------------

    @property
    def start(self) -> Tensor:
        """The start vector (d,), a copy for whoever asks; in the direct encoding, the parameters as they are now."""
        return self.encoding.layout.flatten(self.parameters()) if self._start is None else self._start.clone()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def remaining(self) -> int | None:
        """Forwards left, or None where they are not limited."""
        return self.ledger.remaining

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
        limits = self.ledger.budget.limits()
        counts = [limits["forwards"] / len(batch[0])] if "forwards" in limits else []
        counts += [limits["evaluations"]] if "evaluations" in limits else []
        return max(1, int(min(counts, default=10_000)))

    @property
    def shapes(self) -> Mapping[str, torch.Size] | None:
        """The shape of each parameter, in the order of a search vector; None where an encoding stands between."""
        return self.encoding.layout.shapes if isinstance(self.encoding, Direct) else None

    def parameters(self) -> dict[str, Tensor]:
        """The model's trainable parameters by name: the tensors themselves, not copies."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}

    # -- zeroth order ------------------------------------------------------------------------------------------------

    def losses(self, population: Population, batch: Batch) -> Tensor:
        """The loss of each member on the batch; every member sees the same batch. Costs n·B forwards.

        Args:
            population: (n, d), a :class:`LowRankPopulation` or a :class:`SeededPopulation`, in this oracle's encoding.
            batch: inputs (B, ...) and targets (B, ...), on the device.

        The model is as before, with one exception: a :class:`SeededPopulation` that is run one by one is made in the
        model's own parameters, which are its centre afterwards.

        Returns:
            (n,) float32; what is not finite comes back as +inf.
        """
        losses = self._ask_all(population, batch, lambda forward: self.objective.losses(forward, batch))
        self.ledger.charge(0, len(population))
        return losses.float().nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=torch.inf)

    def evaluating(self) -> AbstractContextManager[None]:
        """Inside, the network is as populations are evaluated; for many small questions it pays to enter once."""
        return self._population_forward.evaluating(**self._modes)

    def outputs(self, population: Population, batch: Batch) -> Tensor:
        """What the loss of each member is computed from. Costs n·B forwards, and counts as n evaluations.

        Returns:
            (n, B, ...), the objective's ``outputs``: those of the networks, (n, B, output_size), or of rollouts.
        """
        outputs = self._ask_all(population, batch, lambda forward: self.objective.outputs(forward, batch))
        self.ledger.charge(0, len(population))
        return outputs

    @property
    def head(self) -> str | None:
        """The name of the linear layer that comes last among the trained ones; None where there is none."""
        own = self.parameters()
        layers = [name for name, part in self.model.named_modules() if isinstance(part, nn.Linear)]
        return next((name for name in reversed(layers) if f"{name}.weight" in own), None)

    def features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the last linear layer sees, and makes of it, at the model's parameters. Costs B forwards.

        Returns:
            Its inputs (B, L), and the network's outputs (B, C).

        Raises:
            ConfigError: the network's outputs are not those of that layer.
        """
        seen: list[Tensor] = []
        layer = self.model.get_submodule(self.head)
        hook = layer.register_forward_hook(lambda _, inputs, outputs: seen.extend([inputs[0], outputs]))
        with hook, torch.no_grad(), evaluating(self.model):
            outputs = self.model(batch[0])
        self.ledger.charge(FORWARD * len(batch[0]), 1)
        if len(seen) != 2 or seen[1].shape != outputs.shape or not torch.equal(seen[1], outputs):
            raise ConfigError(
                f"The network does not end in its layer {self.head}, which a closed form needs: choose another model, "
                "such as model=mlp."
            )
        return seen[0], outputs

    def assign(self, z: Tensor) -> None:
        """Make the model's parameters decode(z), z being (d,)."""
        own = self.parameters()
        with torch.no_grad():
            for name, value in self._decode(z[None]).items():
                own[name].copy_(value[0])

    def _decode(self, z: Tensor) -> dict[str, Tensor]:
        return self._masked(self.encoding.decode(z))

    def _ask_all(self, population: Population, batch: Batch, ask: Callable[..., Tensor]) -> Tensor:
        """Every member's answer: this process evaluates its part, and hears of the others'."""
        members = len(population)
        self._refuse_if_beyond_budget(members, batch)
        before = self._charged
        with self._sharding.apart() if self._modes["dropout"] else nullcontext():
            answers = self._in_chunks(sliced(population, self._sharding.part(members)), batch, ask)
        answers, cost = self._sharding.gather(answers, members, self._charged - before)
        self.ledger.charge(cost)
        return answers

    def _in_chunks(self, population: Population, batch: Batch, ask: Callable[..., Tensor]) -> Tensor:
        with self.evaluating():
            members = len(population)
            size = min(self._chunk_size(batch[0]), members)
            parts, first = [], 0
            while first < members:
                try:
                    chunk = sliced(population, slice(first, min(first + size, members)))
                    parts.append(self._one_chunk(chunk, batch, ask))
                except Exception as error:
                    if size == 1 or not out_of_memory(error):
                        raise
                    size = self._halve_chunk(size, batch[0])
                    continue
                first += size
            return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _one_chunk(self, population: Population, batch: Batch, ask: Callable[..., Tensor]) -> Tensor:
        if len(population) == 1 and isinstance(population, SeededPopulation) and self._plain:
            with self._standing_at(population):
                return self._metered(population, batch, ask, {})
        return self._metered(population, batch, ask, self._parameters_of(population))

    def _metered(
        self, population: Population, batch: Batch, ask: Callable[..., Tensor], parameters: Parameters
    ) -> Tensor:
        charged, members = 0, len(population)

        def forward(inputs: Tensor) -> Tensor:
            nonlocal charged
            shared = inputs.ndim <= batch[0].ndim
            outputs = self._population_forward(parameters, inputs, shared)
            charged += FORWARD * members * inputs.shape[0 if shared else 1]
            return outputs

        answer = ask(forward)
        self._charged += charged  # after the work: a chunk that ran out of memory counts once, when it is done
        return answer

    @property
    def _plain(self) -> bool:
        """Whether search vectors are the parameters themselves."""
        return self.mask is None and isinstance(self.encoding, Direct)

    @contextmanager
    def _standing_at(self, population: SeededPopulation) -> Iterator[None]:
        """The model is the one member inside, and the centre, exactly, afterwards: no second copy of it is made."""
        flat = FlatParameters(self.parameters())
        for part, values in population.member(0):
            flat.write(part, values)
        try:
            yield
        finally:
            self.assign(population.center)

    def _parameters_of(self, population: Population) -> Parameters:
        """By name; low-rank where that can be told apart, that is in the parameters' own coordinates."""
        if not (self._plain and isinstance(population, LowRankPopulation)):
            return self._decode(materialize(population))
        centers = {name: value[0] for name, value in self._decode(population.center[None]).items()}
        return {
            name: LowRankParameter(center, population.left[name], population.right[name], population.scale_of(name))
            if name in population.left
            else center + population.sigma * population.dense[name]
            for name, center in centers.items()
        }

    def _chunk_size(self, inputs: Tensor) -> int:
        shape = tuple(inputs.shape)
        if shape not in self._chunks:
            measured = self._chunk == "auto"
            self._chunks[shape] = self._population_forward.workload(inputs).chunk if measured else self._chunk
        return self._chunks[shape]

    def _halve_chunk(self, size: int, inputs: Tensor) -> int:
        self._chunks[tuple(inputs.shape)] = size = size // 2
        log.warning("Memory ran out: the population is run in chunks of %d from here on.", size)
        return size

    def _refuse_if_beyond_budget(self, members: int, batch: Batch) -> None:
        ledger = self.ledger
        while ledger.parent is not None:
            ledger = ledger.parent
        limit, cost = ledger.budget.forwards, members * len(batch[0])
        if limit is not None and cost > limit:
            raise ConfigError(
                f"One generation of {members} members on a batch of {len(batch[0])} costs {cost} forwards, more than "
                f"the whole budget of {limit:.0f}: lower strategy.popsize or dataset.batch_size, or raise "
                "budget.forwards."
            )

    # -- first order -------------------------------------------------------------------------------------------------

    def gradient(self, batch: Batch) -> Tensor:
        """The loss at the model's parameters, in training mode; fills ``.grad``. Costs 3·B forwards.

        Returns:
            The loss, a detached scalar.
        """
        self._require_gradient()
        inputs, targets = batch
        for parameter in self.model.parameters():
            parameter.grad = None
        loss = self.objective.loss(self.model(inputs), targets)
        self._backward(loss)
        self.ledger.charge(GRADIENT * len(inputs), 1)
        for parameter, gone in self._pruned:
            if parameter.grad is not None:
                parameter.grad.masked_fill_(gone, 0.0)
        return loss.detach()

    def update(self, optimizer: torch.optim.Optimizer, closure: Closure | None = None) -> None:
        """One step of an optimiser with the gradients in ``.grad``; masked parameters stay exactly zero.

        Args:
            optimizer: one of the strategy's ``optimizers``.
            closure: for optimisers that ask for the loss, and its gradient, more than once in a step.
        """
        self._update(optimizer, closure)
        self.apply_mask()

    def jvp(self, tangents: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Directional derivatives of the loss at the model's parameters, by forward mode. Costs 2·B·k forwards.

        Args:
            tangents: (k, d), directions in parameter space (the direct encoding).
            batch: inputs and targets.

        Returns:
            The loss (scalar), and the derivatives (k,).
        """
        self._require_gradient()
        direct, names = self._direct()

        def derivative(tangent: Tensor) -> tuple[Tensor, Tensor]:
            directions = {name: value[0] for name, value in direct.decode(tangent[None]).items()}
            return jvp(lambda p: self._loss_at(p, batch), (names,), (self._masked(directions),))

        with evaluating(self.model):
            losses, slopes = self._each(derivative, tangents, self._chunk_size(batch[0]))
        self.ledger.charge(JVP * len(batch[0]) * len(tangents), len(tangents))
        return losses[0], slopes

    def jacobian(self, batch: Batch) -> Tensor:
        """The derivative of each output at the model's parameters. Costs B·(1 + 2C) forwards.

        Returns:
            (B, C, d), d in the order of the direct encoding.
        """
        _, names = self._direct()

        def output(parameters: dict[str, Tensor], sample: Tensor) -> Tensor:
            return call_with(self.model, parameters, sample[None])[0]

        with evaluating(self.model):
            row = 4 * TYPICAL_OUTPUTS * sum(value.numel() for value in names.values())  # bytes
            size = max(1, MEMORY // row)
            rows = self._each(lambda sample: jacrev(output)(names, sample), batch[0], size)
        rows = self._masked(rows)
        jacobian = torch.cat([row.flatten(2) for row in rows.values()], dim=2)
        self.ledger.charge(len(batch[0]) * jacobian_cost(jacobian.shape[1]), 1)
        return jacobian

    def _each(self, function: Callable[[Tensor], Any], rows: Tensor, size: int) -> Any:
        """A function of a row for each row, vectorised over ``size`` of them, or one by one where vmap cannot go."""
        if self._population_forward.mode != "loop":
            try:
                return vmap(function, chunk_size=size)(rows)
            except RuntimeError as error:  # no batching rule, or control flow that depends on data
                log.info("A derivative cannot be vectorised (%s): rows are run one by one.", brief(error))
        answers = [function(row) for row in rows]
        return tree_map(lambda *values: torch.stack(values), *answers)

    def _direct(self) -> tuple[Direct, dict[str, Tensor]]:
        direct, parameters = Direct(), {name: value.detach() for name, value in self.parameters().items()}
        direct.attach(parameters, self.generator)
        return direct, parameters

    def _loss_at(self, parameters: dict[str, Tensor], batch: Batch) -> Tensor:
        return self.objective.loss(call_with(self.model, parameters, batch[0]), batch[1])

    def _require_gradient(self) -> None:
        if not self.objective.differentiable:
            raise ConfigError(f"{type(self.objective).__name__} has no gradient.")

    # -- masks -------------------------------------------------------------------------------------------------------

    def apply_mask(self) -> None:
        """Set the model's masked parameters to exactly zero."""
        with torch.no_grad():
            for parameter, gone in self._pruned:
                parameter.masked_fill_(gone, 0.0)

    def _masked(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.mask is None:
            return values
        return {
            name: torch.where(self.mask[name], value, 0.0) if name in self.mask else value
            for name, value in values.items()
        }
