"""The only interface between strategies and the model; every call is metered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from typing import NamedTuple, cast

import torch
from torch import Tensor

from hybridopt.core.ledger import FORWARD, GRADIENT, JVP, jacobian_cost
from hybridopt.core.objective import Batch, Forward, Objective
from hybridopt.core.view import Closure, View
from hybridopt.engine.derivatives import directional, jacobians
from hybridopt.engine.modes import evaluating, frozen
from hybridopt.engine.normalisation import by_running_statistics
from hybridopt.engine.parameters import Parameters
from hybridopt.engine.population import Population, materialize
from hybridopt.engine.replay import Subject
from hybridopt.engine.stage import call_with
from hybridopt.engine.trees import samples
from hybridopt.errors import ConfigError


class Activations(NamedTuple):
    """What a layer sees and makes of it, and what the network answers; all for one batch."""

    inputs: Tensor
    outputs: Tensor
    answer: Tensor


class Oracle(View):
    """What a strategy may ask of a model and its data; :class:`View` has what it may know for nothing."""

    # -- zeroth order ------------------------------------------------------------------------------------------------

    def losses(self, population: Population, batch: Batch) -> Tensor:
        """The loss of each member on the batch; every member sees the same batch. Costs n·B forwards.

        Args:
            population: (n, d), a :class:`LowRankPopulation` or a :class:`SeededPopulation`, in this oracle's encoding.
            batch: inputs (B, ...) and targets (B, ...), on the device.

        The model is as before, with one exception: a :class:`SeededPopulation` that is run one by one is made in the
        model's own parameters, which are its centre afterwards.

        Returns:
            (n,), float64 of a network in float64, else float32; what is not finite comes back as +inf.
        """

        def ask(forward: Forward, batch: Batch) -> Tensor:
            return self.objective.losses(self.objective.outputs(forward, batch), batch[1])

        return failures_as_infinity(self._asked(population, batch, ask, [self.objective]))

    def readings(self, population: Population, batch: Batch, objectives: Sequence[Objective] | None = None) -> Tensor:
        """The losses of each member by several objectives of one pass. Costs n·B forwards, as :meth:`losses`.

        Objectives that make something else of the networks, such as rollouts, have passes of their own, which are
        charged besides; those that read nothing but weights have none.

        Args:
            population: n members.
            batch: inputs and targets.
            objectives: k of them; if None, those that the run's objective is made of.

        Returns:
            (n, k), as those of :meth:`losses`; what is not finite comes back as +inf.
        """
        asked = [*self.objective.parts.values()] if objectives is None else objectives
        readings = self._asked(population, batch, lambda forward, batch: read(asked, forward, batch), asked)
        return failures_as_infinity(readings)

    def outputs(self, population: Population, batch: Batch) -> Tensor:
        """What the loss of each member is computed from. Costs n·B forwards, and counts as n evaluations.

        Returns:
            (n, B, ...), the objective's ``outputs``: those of the networks, (n, B, output_size), or of rollouts.
        """
        return self._asked(population, batch, self.objective.outputs)

    def evaluating(self) -> AbstractContextManager[None]:
        """Inside, the network is as populations are evaluated; for many small questions it pays to enter once."""
        return self._evaluate.evaluating()

    def activations(self, layer: str, batch: Batch) -> Activations:
        """What a layer sees in one pass over the batch at the model's parameters. Costs B forwards.

        Args:
            layer: the name of a submodule that is called once in a pass.
            batch: inputs and targets.

        Raises:
            ConfigError: the layer is not called exactly once.
        """
        seen: list[tuple[Tensor, Tensor]] = []
        hook = self.model.get_submodule(layer).register_forward_hook(
            lambda _, inputs, outputs: seen.append((inputs[0], cast(Tensor, outputs)))
        )
        with hook, torch.no_grad(), evaluating(self.model):
            answer = self.model(batch[0])
        self.ledger.charge(FORWARD * samples(batch[0]), 1)
        if len(seen) != 1:
            raise ConfigError(
                f"The layer {layer} is called {len(seen)} times in a pass, not once: choose another model."
            )
        return Activations(*seen[0], answer)

    def agreed(self, measured: float) -> float:
        """The first process's value of what each measures differently, such as time."""
        return self._evaluate.sharding.broadcast(measured)

    def _asked(
        self,
        population: Population,
        batch: Batch,
        ask: Callable[[Forward, Batch], Tensor],
        objectives: Sequence[Objective] = (),
    ) -> Tensor:
        members = len(population)
        self.ledger.check_affordable(members, samples(batch[0]))
        if any(one.reads_weights for one in objectives):
            population = materialize(population)
        if self._improve is not None:
            population = self._improve(population, batch)
            members = len(population)
        subject = self._subject(objectives) if self._records else None
        answers, cost = self._evaluate(population, batch, ask, self._coordinates.prepare, subject=subject)
        self.ledger.charge(FORWARD * cost, members)
        return answers

    def _subject(self, objectives: Sequence[Objective]) -> Subject | None:
        """What losses by these objectives depend on besides members and batches; None if they cannot be recorded."""
        if not objectives or not all(one.of_one_pass for one in objectives):
            return None  # rollouts and solvers have their own ways
        modules = [*objectives, self.encoding]
        state = [value for module in modules for value in (*module.parameters(), *module.buffers())]
        coordinates = self._coordinates
        behind = [*(coordinates.mask or {}).values(), *([] if coordinates.offset is None else [coordinates.offset])]
        return Subject((coordinates, *objectives), [*state, *behind])

    # -- first order -------------------------------------------------------------------------------------------------

    def gradients(self, population: Population, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of each member and its gradient in this oracle's coordinates. Costs 3·n·B forwards.

        Members are run as for :meth:`losses`: in evaluation mode unless the oracle was made with dropout on.

        Args:
            population: (n, d), or another one, which is made dense.
            batch: inputs and targets.

        Returns:
            Losses (n,), of which +inf stands for what is not finite, and slopes (n, d), 0 where they are not finite.

        Raises:
            ConfigError: the objective has no gradient.
        """
        self._require_gradient()
        self.ledger.check_affordable(len(population), samples(batch[0]), GRADIENT)
        points: list[Tensor] = []

        def prepare(chunk: Population) -> AbstractContextManager[Parameters]:
            points[:] = [materialize(chunk).detach().requires_grad_()]
            return nullcontext(self._coordinates.decode(points[0]))

        def ask(forward: Forward, batch: Batch) -> Tensor:
            own = self.objective.reads_weights
            outputs = self.objective.outputs(forward, batch) if own else forward(batch[0])
            losses = self.objective.losses(outputs, batch[1])
            total = losses.sum() + 0 * points[0].sum()  # losses that depend on nothing have a slope too
            (slopes,) = torch.autograd.grad(total, points)
            return torch.cat([losses.detach()[:, None], slopes], dim=1)

        with frozen(self.model):  # what is not decoded does not move
            answers, cost = self._evaluate(population, batch, ask, prepare, graph=True)
        self.ledger.charge(GRADIENT * cost, len(population))
        return failures_as_infinity(answers[:, 0]), answers[:, 1:].nan_to_num(0.0, 0.0, 0.0)

    def gradient(self, batch: Batch) -> Tensor:
        """The loss at the model's parameters, in training mode; fills ``.grad``. Costs 3·B forwards.

        Batch normalisation, which cannot normalise by a single sample, then uses its running statistics.

        Returns:
            The loss, a detached scalar.
        """
        self._require_gradient()
        self._require_direct("gradient")
        inputs, targets = batch
        for parameter in self._all_parameters:
            parameter.grad = None
        alone = by_running_statistics(self.model) if samples(inputs) == 1 else nullcontext()
        with alone:
            loss = self.objective.loss(self.model(inputs), targets)
        self._backward(loss)
        self.ledger.charge(GRADIENT * samples(inputs), 1)
        self._coordinates.mask_gradients()
        return loss.detach()

    def update(self, optimizer: torch.optim.Optimizer, closure: Closure | None = None) -> None:
        """One step of an optimiser with the gradients in ``.grad``; masked parameters stay exactly zero.

        Args:
            optimizer: one of the strategy's ``optimizers``.
            closure: for optimisers that ask for the loss, and its gradient, more than once per step.
        """
        self._update(optimizer, closure)
        self.apply_mask()

    def jvp(self, tangents: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Directional derivatives of the loss at the model's parameters, by forward mode. Costs 2·B·k forwards.

        Args:
            tangents: (k, d), directions in parameter space (direct coordinates).
            batch: inputs and targets.

        Returns:
            The loss (scalar), and the derivatives (k,).
        """
        self._require_gradient()
        self._require_direct("jvp")
        inputs, targets = batch

        def loss(values: Mapping[str, Tensor]) -> Tensor:
            return self.objective.loss(call_with(self.model, values, inputs), targets)

        with evaluating(self.model):
            directions = self._coordinates.decode(tangents)
            size = self._evaluate.chunk_size(inputs)
            losses, slopes = directional(loss, self._detached(), directions, size, self._directions)
        self.ledger.charge(JVP * samples(inputs) * len(tangents), len(tangents))
        return losses[0], slopes

    def jacobian(self, batch: Batch) -> Tensor:
        """The derivative of each output at the model's parameters. Costs B·(1 + 2C) forwards.

        Returns:
            (B, C, d), d in the order of the model's parameters (direct coordinates).
        """
        self._require_direct("jacobian")
        with evaluating(self.model):
            rows = self._coordinates.apply_to(jacobians(self.model, self._detached(), batch[0], self._samples))
        jacobian = torch.cat([row.flatten(2) for row in rows.values()], dim=2)
        self.ledger.charge(samples(batch[0]) * jacobian_cost(jacobian.shape[1]), 1)
        return jacobian

    def _detached(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in self.parameters().items()}

    def _require_direct(self, answer: str) -> None:
        if not self.direct:
            raise ConfigError(
                f"Oracle.{answer} is about the parameters themselves, and the encoding {type(self.encoding).__name__} "
                "stands between: choose encoding=direct or, in a strategy of your own, ask for Oracle.gradients."
            )

    def _require_gradient(self) -> None:
        if not self.objective.differentiable:
            raise ConfigError(
                f"{type(self.objective).__name__} has no gradient: choose another objective, such as "
                "objective=cross_entropy, or a strategy that works on losses."
            )


def read(objectives: Sequence[Objective], forward: Forward, batch: Batch) -> Tensor:
    """The losses (n, k) of members by several objectives; those that make the same of a pass share it."""
    made: dict[object, Tensor] = {}
    columns = []
    for one in objectives:
        way = one if one.reads_weights else type(one).outputs
        if way not in made:
            made[way] = one.outputs(forward, batch)
        columns.append(one.losses(made[way], batch[1]))
    common = reduce(torch.promote_types, (column.dtype for column in columns))
    return torch.stack([column.to(common) for column in columns], dim=1)


def failures_as_infinity(losses: Tensor) -> Tensor:
    """Losses as float32 or more, +inf where they are not finite."""
    exact = losses if losses.dtype is torch.float32 else losses.to(torch.promote_types(losses.dtype, torch.float32))
    return exact.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=torch.inf)
