"""What is minimised, and what is reported."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

import torch
from torch import Tensor, nn

from hybridopt.core.spec import DataSpec
from hybridopt.engine.trees import Inputs

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

Batch = tuple[Inputs, Tensor]
"""Inputs (B, ...), a tensor or a tree (dictionary, tuple, list) of such tensors, and targets (B, ...)."""


class Forward(Protocol):
    """The networks of a population: what an objective may ask of them.

    Attributes:
        module: the network whose parameters are replaced by those of each member.
    """

    module: nn.Module

    def __call__(self, inputs: Inputs, /) -> Tensor:
        """One pass: inputs (B, ...) for all members or (population, B, ...), to (population, B, output_size)."""
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """The parameters by name, (population, \\*shape); asking for them costs nothing."""
        ...


class Objective(nn.Module, ABC):
    """A loss (always minimised), its metrics, and whether it has a gradient.

    Class attributes:
        differentiable: whether ``loss`` has a gradient that is of use. Checked against the strategy before a run.
        tasks: the values of ``DataSpec.task`` that the objective is made for; None where it does not care.
        range: the least and the greatest value that there can be, where both are known: by which an archive of
            networks is divided into cells; None where there are no such.
        reads_weights: whether ``outputs`` asks for the weights of the members, besides their passes or without any.
    """

    differentiable: ClassVar[bool]
    tasks: ClassVar[frozenset[str] | None] = None
    range: ClassVar[tuple[float, float] | None] = None
    reads_weights: ClassVar[bool] = False

    @property
    def parts(self) -> Mapping[str, Objective]:
        """The objectives of the run by name: this one alone, or those that it is made of, the one that counts first."""
        return {"loss": self}

    @property
    def of_one_pass(self) -> bool:
        """Whether the loss is computed from one pass of the network over the inputs, and from nothing else."""
        return type(self).outputs is Objective.outputs

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss over the batch.

        Args:
            outputs: (B, output_size).
            targets: (B,) classes or (B, output_size) values.

        Returns:
            A scalar, lower is better.
        """

    @abstractmethod
    def metrics(self, spec: DataSpec) -> MetricCollection:
        """Fresh torchmetrics under their names in snake case; they take (outputs, targets)."""

    def outputs(self, forward: Forward, batch: Batch) -> Tensor:
        """What loss and metrics are computed from, in training, validation and test: one pass over the inputs.

        Override it where that takes more than one pass: rollouts, solvers. A derivative is still taken of one pass.

        Args:
            forward: maps inputs (B, ...), the same for all, or (population, B, ...), each its own, to outputs
                (population, B, output_size). Every call is charged in training.
            batch: inputs and targets.

        Returns:
            (population, B, ...): for each member what ``loss`` and the metrics take as outputs.
        """
        inputs, _ = batch
        return forward(inputs)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each member of a population.

        Args:
            outputs: (population, B, ...), what :meth:`outputs` gives.
            targets: (B,) classes or (B, output_size) values, the same for all.

        Returns:
            (population,), lower is better.
        """
        if len(outputs) == 1:
            return self.loss(outputs[0], targets)[None]  # vmap costs more than the loss of one
        return torch.vmap(self.loss, in_dims=(0, None))(outputs, targets)


class WeightObjective(Objective):
    """What is read off the weights of a network, without a pass: it costs no forwards.

    It belongs beside a loss, as one of several objectives; or it is a measure of an archive.
    """

    differentiable: ClassVar[bool] = False
    reads_weights: ClassVar[bool] = True

    @abstractmethod
    def of_weights(self, weights: Mapping[str, Tensor], module: nn.Module, inputs: Inputs) -> Tensor:
        """The value of each member, lower is better.

        Args:
            weights: the parameters by name, (population, \\*shape).
            module: the network.
            inputs: of the batch, (B, ...), for their shape.

        Returns:
            (population,).
        """

    def outputs(self, forward: Forward, batch: Batch) -> Tensor:
        """The values, (population, 1)."""
        return self.of_weights(forward.weights(), forward.module, batch[0])[:, None]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The value that :meth:`outputs` gives of one network (1,); the targets do not count."""
        return outputs.mean()

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.flatten(1).mean(1)

    def metrics(self, spec: DataSpec) -> MetricCollection:
        """None besides its value."""
        from torchmetrics import MetricCollection

        return MetricCollection({})


def first_of(objective: Objective) -> Objective:
    """The one that counts as the loss, of several or alone."""
    return next(iter(objective.parts.values()))
