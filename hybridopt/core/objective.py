"""What is minimised, and what is reported."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from hybridopt.core.spec import DataSpec
from hybridopt.engine.trees import Inputs

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

Batch = tuple[Inputs, Tensor]
"""Inputs (B, ...), a tensor or a tree (dictionary, tuple, list) of such tensors, and targets (B, ...)."""

Forward = Callable[[Inputs], Tensor]
"""Inputs, (B, ...) for all members or (population, B, ...), to outputs (population, B, output_size)."""


class Objective(nn.Module, ABC):
    """A loss (always minimised), its metrics, and whether it has a gradient.

    Class attributes:
        differentiable: whether ``loss`` has a gradient that is of use. Checked against the strategy before a run.
        tasks: the values of ``DataSpec.task`` that the objective is made for; None where it does not care.
    """

    differentiable: ClassVar[bool]
    tasks: ClassVar[frozenset[str] | None] = None

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
