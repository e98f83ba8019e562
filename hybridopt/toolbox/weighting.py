"""Samples that count more than others: they are drawn more often into the training batches.

An objective sees outputs and targets, not which sample they are of; and a population's losses, a Jacobian and a
gradient would each need weights of their own. Drawn by weight, the samples of a batch have the weighted loss as their
expected loss, for every objective and every strategy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hybridopt.core.data import TensorDataModule
from hybridopt.core.objective import Batch
from hybridopt.core.spec import DataSpec
from hybridopt.core.stream import BatchStream
from hybridopt.engine.digest import digest
from hybridopt.engine.randomness import derived_seed
from hybridopt.errors import ConfigError, DataError, options

BALANCED = "balanced"


@dataclass(frozen=True)
class Weights:
    """How much samples count: the weight of the class times the weight of the sample.

    Args:
        classes: "balanced" for weights that give each class the same sum, or a weight for each class by its label, 1
            where it has none; None where all classes count the same.
        samples: the weight of each sample (N,), None where all count the same.
    """

    classes: Any = None
    samples: np.ndarray | None = None

    def of(self, rows: np.ndarray, labels: np.ndarray | None) -> Tensor:
        """The weights of some samples, the training set.

        Args:
            rows: their numbers (n,).
            labels: the class of every sample (N,); None where there are no classes.

        Returns:
            (n,) in float64, at least 0.

        Raises:
            ConfigError: class weights without classes, of a class that is not there, or no weights.
            DataError: a sample's weight is below 0, or none is above.
        """
        weights = np.ones(len(rows)) if self.samples is None else self.samples[rows].astype(np.float64)
        if (weights < 0).any() or not weights.sum() > 0:
            raise DataError(
                "dataset.sample_weight must be at least 0 for each training sample and above 0 for one of them, but "
                f"its values are between {weights.min():g} and {weights.max():g}: correct the column, or leave "
                "dataset.sample_weight out."
            )
        if self.classes is not None:
            weights = weights * self._of_classes(None if labels is None else labels.reshape(-1)[rows])
        if not weights.sum() > 0:
            raise ConfigError(
                "dataset.class_weights and dataset.sample_weight together leave no sample a weight above 0."
            )
        return torch.from_numpy(weights)

    def _of_classes(self, labels: np.ndarray | None) -> np.ndarray:
        """The weight of the class of each sample."""
        if labels is None:
            raise ConfigError(
                "dataset.class_weights needs classes, but the target holds amounts: take dataset.sample_weight, or "
                "dataset.task=classification."
            )
        names, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
        if self.classes == BALANCED:
            return (1 / counts)[numbers]
        return _by_name(self.classes, [str(name) for name in names.tolist()])[numbers]


def _by_name(given: Any, names: list[str]) -> np.ndarray:
    """The weight of each class, 1 where none is given."""
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"dataset.class_weights must be {BALANCED} or a weight for each class, but is {given!r}: write for example "
            f"'dataset.class_weights={{{names[0]}: 1, {names[1]}: 5}}'."
        )
    weights = {str(name): weight for name, weight in given.items()}
    for name, weight in weights.items():
        if name not in names:
            raise ConfigError(f"dataset.class_weights names {name!r}, which is no class.{options(names, name)}")
        if not isinstance(weight, int | float) or not 0 <= weight < np.inf:
            raise ConfigError(
                f"dataset.class_weights must have a finite number of at least 0 for each class, but has {weight!r} for "
                f"{name!r}."
            )
    return np.array([float(weights.get(name, 1.0)) for name in names])


class WeightedDataModule(TensorDataModule):
    """Data in memory whose training batches are drawn by weight; validation and test are as they are.

    Args:
        train, val, test, spec, batch_size: as for :class:`~hybridopt.core.data.TensorDataModule`.
        weights: of the training samples (N,), at least 0.
        preprocessing: as there.
    """

    def __init__(
        self,
        train: Batch,
        val: Batch,
        test: Batch,
        spec: DataSpec,
        batch_size: int | None,
        weights: Tensor,
        preprocessing: Mapping[str, Any] | None = None,
    ):
        super().__init__(train, val, test, spec, batch_size, preprocessing)
        self.weights = weights

    def facts(self, name: str) -> dict[str, str | int]:
        """The number of samples, and a digest of inputs, targets and, in the training set, weights."""
        if name != "train":
            return super().facts(name)
        inputs, targets = self.sets[name]
        return {"samples": len(inputs), "digest": digest(inputs, targets, self.weights)}

    def train_dataloader(self) -> BatchStream:
        inputs, targets = self._on_device("train")
        return WeightedStream(inputs, targets, self.weights, self.batch_size, self.batch_seed)


class WeightedStream(BatchStream):
    """Batches of two tensors, into which samples are drawn by weight.

    An epoch has N draws in random order. A sample of weight w is drawn N·w/Σw times, rounded up or down at random so
    that this is its mean: systematic resampling (Kitagawa 1996, https://doi.org/10.2307/1390750), of which equal
    weights make each sample occur once, as without weights.

    Args:
        inputs: (N, ...).
        targets: (N, ...).
        weights: (N,), at least 0 and not all 0.
        batch_size: draws per batch; None (or more than there are samples) for N of them, which differ from batch to
            batch.
        seed: fixes the draws of all epochs.
    """

    on_device = True

    def __init__(self, inputs: Tensor, targets: Tensor, weights: Tensor, batch_size: int | None, seed: int):
        super().__init__(seed)
        self.inputs, self.targets = inputs, targets
        self.weights = weights.double().cpu()
        self.batch_size = len(inputs) if batch_size is None else min(batch_size, len(inputs))

    def batches(self, epoch: int) -> Iterable[Batch]:
        generator = torch.Generator().manual_seed(derived_seed(self.seed, epoch))
        drawn = draws(self.weights, generator).to(self.inputs.device)
        count = len(drawn) // self.batch_size
        drawn = drawn[: count * self.batch_size]
        return zip(self.inputs[drawn].chunk(count), self.targets[drawn].chunk(count), strict=True)


def draws(weights: Tensor, generator: torch.Generator) -> Tensor:
    """The numbers (N,) of the samples of an epoch, in random order.

    Args:
        weights: of the samples (N,) in float64, at least 0 and not all 0.
        generator: on the CPU.
    """
    number, upto = len(weights), weights.cumsum(0)
    offset = torch.rand((), generator=generator, dtype=torch.float64)
    edges = (upto / upto[-1] * number + offset).floor().clamp(max=number)
    times = edges.diff(prepend=edges.new_zeros(1)).long()
    drawn = torch.arange(number).repeat_interleave(times)
    return drawn[torch.randperm(number, generator=generator)]
