"""The data that strategies train on: a stream of training batches, and two held-out sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from hybridopt.core.objective import Batch
from hybridopt.core.spec import DataSpec
from hybridopt.core.stream import BatchStream, TensorStream, as_stream
from hybridopt.engine import trees
from hybridopt.engine.digest import digest
from hybridopt.engine.trees import Inputs
from hybridopt.errors import ConfigError, DataError

EVALUATION_BATCH = 4096


class DataModule(LightningDataModule):
    """A LightningDataModule that says what its data looks like.

    Attributes:
        spec: known after ``setup()`` at the latest.
        batch_seed: the seed of the order of the training batches; the data splits have their own.
    """

    spec: DataSpec
    batch_seed: int = 0

    def facts(self, name: str) -> Mapping[str, str | int]:
        """What identifies the contents of a set, so that a run can be told from one on other data at the same path.

        The facts are kept with the run (in MLflow: as the profile of its data set inputs). Sets of the same settings
        with the same facts count as the same data. A fact called "digest" identifies the contents by itself, whatever
        the settings. Without facts, a run's data is identified by its settings alone.

        Args:
            name: "train", "val" or "test"; the module is set up.

        Returns:
            Facts by name, such as a revision, the hash of a file, or the number of samples.
        """
        return {}

    def preprocessing(self) -> Mapping[str, Any]:
        """What raw inputs go through before the network has them, and what its outputs stand for.

        Whoever uses the network on new data has to do the same. It is kept beside the weights of a run and inside of
        its MLflow model, as ``preprocessing.json``; the module is set up when it is asked for.

        Returns:
            Plain values, which JSON has; nothing where there is nothing to say. Where they apply, "inputs" and
            "targets" have "columns" (names, in their order), "mean" and "scale" (subtracted, then divided by; numbers,
            or lists that broadcast against a sample), inputs a "dtype", targets "classes" (the label of each output).
        """
        return {}


class TensorDataModule(DataModule):
    """Data in memory, moved to the device once; batches are cut there.

    Args:
        train: (inputs, targets): tensors with equal first dimension; inputs may be a tree (dictionary, tuple, list) of
            such tensors.
        val: the same, for model selection.
        test: the same, used once at the end.
        spec: the shape of the problem.
        batch_size: samples in a training batch; None (or more than there are) takes the full set every time.
            A remainder that does not fill a batch is left for a later epoch, since every epoch has an order of its own.
        preprocessing: what is to be kept beside the weights, see :meth:`DataModule.preprocessing`.

    Raises:
        DataError: a set is empty, or its inputs and targets differ in length.
        ConfigError: the batch size is not positive.
    """

    def __init__(
        self,
        train: Batch,
        val: Batch,
        test: Batch,
        spec: DataSpec,
        batch_size: int | None = 256,
        preprocessing: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.sets = {"train": train, "val": val, "test": test}
        for name, (inputs, targets) in self.sets.items():
            found = {len(values) for values in trees.leaves(inputs)}
            if found != {len(targets)} or len(targets) == 0:
                raise DataError(
                    f"The {name} set must have as many inputs as targets, and at least one, "
                    f"but has {', '.join(map(str, sorted(found))) or 'none'} and {len(targets)}."
                )
        if batch_size is not None and batch_size < 1:
            raise ConfigError(f"dataset.batch_size must be at least 1, or null for the full set, but is {batch_size}.")
        self.spec = spec
        self.batch_size = batch_size
        self._preprocessing = preprocessing or {}

    def preprocessing(self) -> Mapping[str, Any]:
        """What was handed over."""
        return self._preprocessing

    def facts(self, name: str) -> dict[str, str | int]:
        """The number of samples, and a digest of inputs and targets."""
        inputs, targets = self.sets[name]
        return {"samples": len(targets), "digest": digest(*trees.leaves(inputs), targets)}

    def train_dataloader(self) -> BatchStream:
        inputs, targets = self._on_device("train")
        return TensorStream(inputs, targets, self.batch_size, self.batch_seed)

    def val_dataloader(self) -> InOrder:
        return InOrder(*self._on_device("val"))

    def test_dataloader(self) -> InOrder:
        return InOrder(*self._on_device("test"))

    def _on_device(self, name: str) -> Batch:
        device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
        inputs, targets = self.sets[name]
        return trees.mapped(lambda values: values.to(device), inputs), targets.to(device)


class InOrder:
    """A held-out set in large batches, in its own order (a plain list would be many loaders to Lightning).

    Args:
        inputs: (N, ...), or a tree of such tensors.
        targets: (N, ...).
    """

    def __init__(self, inputs: Inputs, targets: Tensor):
        parts = [slice(first, first + EVALUATION_BATCH) for first in range(0, len(targets), EVALUATION_BATCH)]
        self._batches = [(trees.rows(inputs, part), targets[part]) for part in parts]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)


def replayable(datamodule: LightningDataModule, seed: int) -> LightningDataModule:
    """Give any datamodule a training stream that a resumed run continues exactly.

    Args:
        datamodule: changed in place: its ``train_dataloader`` returns a :class:`BatchStream`. One that has been made
            replayable stays as it is.
        seed: fixes the order of the batches.
    """
    if getattr(datamodule, "is_replayable", False):
        return datamodule
    marked = cast(Any, datamodule)
    marked.is_replayable, marked.batch_seed = True, seed
    original = datamodule.train_dataloader
    datamodule.train_dataloader = lambda: as_stream(original(), marked.batch_seed)
    return datamodule
