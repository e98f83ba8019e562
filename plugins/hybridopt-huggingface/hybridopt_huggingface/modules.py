"""Data modules over encoded rows: held in memory and cut on the device, or read batch by batch from disk.

Both give the same batches in the same order, so that a run does not depend on which one it had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import psutil
import torch
from torch import Tensor

from hybridopt import Batch, BatchStream, ConfigError, DataModule, DataSpec
from hybridopt.toolbox.data import EVALUATION_BATCH, TensorStream, derived_seed, digest
from hybridopt_huggingface.columns import Rows
from hybridopt_huggingface.inputs import Inputs
from hybridopt_huggingface.source import Source
from hybridopt_huggingface.targets import Targets

Expand = Callable[[Tensor], Any]  # compact rows -> what a model reads, a tensor or a tree of tensors
MOST_VALUES = 2**24  # floats of a held-out batch: 64 MB
TARGET_BYTES = 8


class InMemory(DataModule):
    """Compact rows, moved to the device once; batches are cut and made floats there.

    Args:
        sets: "train", "val" and "test": rows of each.
        inputs: fitted.
        targets: fitted.
        batch_size: samples in a training batch; None (or more than there are) takes the full set every time.
        source: where the rows come from.

    Raises:
        ConfigError: the rows do not fit into memory, or the batch size is not positive.
    """

    def __init__(
        self,
        sets: Mapping[str, Rows],
        inputs: Inputs,
        targets: Targets,
        batch_size: int | None,
        source: Source,
    ):
        super().__init__()
        if batch_size is not None and batch_size < 1:
            raise ConfigError(f"dataset.batch_size must be at least 1, or null for the full set, but is {batch_size}.")
        check_memory(sum(map(len, sets.values())), inputs.sample_bytes)
        self.compact = {name: _encoded(rows, inputs, targets) for name, rows in sets.items()}
        inputs.calibrate([self.compact["train"][0]])
        self.expand, self.batch_size, self._source = inputs.expand, batch_size, source
        self._values = inputs.values
        self.spec = _spec(inputs, targets)
        self._said = _preprocessing(inputs, targets)

    def preprocessing(self) -> dict[str, Any]:
        """Columns, and means and scales or classes, of the targets and of images."""
        return self._said

    @property
    def sets(self) -> dict[str, Batch]:
        """All rows of each set as a model reads them, made for each caller."""
        return {name: (self.expand(inputs), targets) for name, (inputs, targets) in self.compact.items()}

    def facts(self, name: str) -> dict[str, str | int]:
        """Where the rows come from, how many there are, and a digest of what they became."""
        inputs, targets = self.compact[name]
        return {**self._source.facts(), "samples": len(inputs), "digest": digest(inputs, targets)}

    def train_dataloader(self) -> BatchStream:
        return ExpandedStream(*self._on_device("train"), self.batch_size, self.batch_seed, self.expand)

    def val_dataloader(self) -> HeldOut:
        return self._held_out("val")

    def test_dataloader(self) -> HeldOut:
        return self._held_out("test")

    def _on_device(self, name: str) -> Batch:
        device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
        inputs, targets = self.compact[name]
        return inputs.to(device), targets.to(device)

    def _held_out(self, name: str) -> HeldOut:
        inputs, targets = self._on_device(name)
        return HeldOut(len(inputs), self._values, lambda rows: (self.expand(inputs[rows]), targets[rows]))


class FromDisk(DataModule):
    """Rows that stay on disk, in arrow files; each batch is read and encoded when its turn comes.

    Args:
        sets: "train", "val" and "test": rows of each.
        inputs: fitted.
        targets: fitted.
        batch_size: samples in a training batch, at most all there are.
        source: where the rows come from.

    Raises:
        ConfigError: the batch size is not positive, or null.
    """

    def __init__(
        self,
        sets: Mapping[str, Rows],
        inputs: Inputs,
        targets: Targets,
        batch_size: int | None,
        source: Source,
    ):
        super().__init__()
        if batch_size is None or batch_size < 1:
            raise ConfigError(
                f"dataset.batch_size must be at least 1 row where dataset.in_memory=false reads batches from disk, but "
                f"is {'null' if batch_size is None else batch_size}: write for example 256."
            )
        inputs.calibrate(inputs.encode(chunk) for chunk in sets["train"].chunks())
        self.rows, self.inputs, self.targets, self.batch_size, self._source = sets, inputs, targets, batch_size, source
        self.spec = _spec(inputs, targets)

    def preprocessing(self) -> dict[str, Any]:
        """Columns, and means and scales or classes, of the targets and of images."""
        return _preprocessing(self.inputs, self.targets)

    def facts(self, name: str) -> dict[str, str | int]:
        """Where the rows come from, what identifies all of them there, and how many there are in this set."""
        return {**self._source.facts(), "contents": self._source.contents, "samples": len(self.rows[name])}

    def train_dataloader(self) -> BatchStream:
        size = min(self.batch_size, len(self.rows["train"]))
        return DiskStream(len(self.rows["train"]), size, self.batch_seed, lambda rows: self._read("train", rows))

    def val_dataloader(self) -> HeldOut:
        return self._held_out("val")

    def test_dataloader(self) -> HeldOut:
        return self._held_out("test")

    def _held_out(self, name: str) -> HeldOut:
        def read(rows: slice) -> Batch:
            return self._read(name, range(rows.start, rows.stop))

        return HeldOut(len(self.rows[name]), self.inputs.values, read)

    def _read(self, name: str, rows: Sequence[int]) -> Batch:
        chunk = self.rows[name].chunk(rows)
        return self.inputs.expand(self.inputs.encode(chunk)), self.targets.encode(chunk)


class ExpandedStream(TensorStream):
    """Batches of compact tensors as floats.

    Args:
        inputs, targets, batch_size, seed: as for ``TensorStream``.
        expand: compact inputs (B, ...) -> floats (B, ...).
    """

    def __init__(self, inputs: Tensor, targets: Tensor, batch_size: int | None, seed: int, expand: Expand):
        super().__init__(inputs, targets, batch_size, seed)
        self.expand = expand

    def batches(self, epoch: int) -> Iterable[Batch]:
        if self.batch_size is None:
            return [self._whole]
        return ((self.expand(inputs), targets) for inputs, targets in super().batches(epoch))

    @cached_property
    def _whole(self) -> Batch:
        return self.expand(self.inputs), self.targets


class DiskStream(BatchStream):
    """Batches that are read when asked for, in the order in which ``TensorStream`` would cut them.

    Args:
        count: rows there are.
        batch_size: rows in a batch; a remainder is left for a later epoch.
        seed: fixes the order of all epochs.
        read: numbers of rows -> batch.
    """

    def __init__(self, count: int, batch_size: int, seed: int, read: Callable[[Sequence[int]], Batch]):
        super().__init__(seed)
        self.count, self.batch_size, self.read = count, batch_size, read

    def batches(self, epoch: int) -> Iterator[Batch]:
        if self.batch_size == self.count:
            order = torch.arange(self.count)
        else:
            generator = torch.Generator().manual_seed(derived_seed(self.seed, epoch))
            order = torch.randperm(self.count, generator=generator)
        whole = self.count // self.batch_size
        for numbers in order[: whole * self.batch_size].chunk(whole):
            yield self.read(numbers.tolist())


class HeldOut:
    """A held-out set in its own order, in batches of bearable size.

    Args:
        count: rows there are.
        values: what a sample takes, in floats.
        read: a slice of rows -> batch.
    """

    def __init__(self, count: int, values: int, read: Callable[[slice], Batch]):
        self.count, self.read = count, read
        self.size = max(1, min(EVALUATION_BATCH, MOST_VALUES // values))

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, self.count, self.size):
            yield self.read(slice(start, min(start + self.size, self.count)))


def check_memory(rows: int, sample_bytes: int) -> None:
    """Refuse what would not fit into the memory that is free.

    Raises:
        ConfigError: it would not.
    """
    needed, free = rows * (sample_bytes + TARGET_BYTES), psutil.virtual_memory().available
    if needed > free:
        raise ConfigError(
            f"The {rows} rows would take {_gigabytes(needed)} of memory, but {_gigabytes(free)} are free: type "
            "dataset.in_memory=false, which reads each batch from disk, or take fewer rows with dataset.limit."
        )


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.3g} GB"


def _encoded(rows: Rows, inputs: Inputs, targets: Targets) -> Batch:
    """All rows of a set as tensors; filled chunk by chunk, so that they are in memory once."""
    parts: Batch | None = None
    for chunk in rows.chunks():
        new = inputs.encode(chunk), targets.encode(chunk)
        if parts is None:
            parts = tuple(part.new_empty(len(rows), *part.shape[1:]) for part in new)
        for whole, part in zip(parts, new, strict=True):
            whole[chunk.numbers.start : chunk.numbers.stop] = part
    return parts


def _preprocessing(inputs: Inputs, targets: Targets) -> dict[str, Any]:
    said = {"inputs": inputs.preprocessing(), "targets": targets.preprocessing()}
    return {part: facts for part, facts in said.items() if facts}


def _spec(inputs: Inputs, targets: Targets) -> DataSpec:
    return DataSpec(inputs.shape, targets.output_size, targets.task)
