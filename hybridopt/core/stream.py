"""Training batches: an endless stream, whose place a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, SequentialSampler, TensorDataset, default_collate

from hybridopt.core.objective import Batch
from hybridopt.engine import trees
from hybridopt.engine.randomness import derived_seed
from hybridopt.engine.trees import Inputs
from hybridopt.errors import DataError

ENDLESS = 10**9  # Lightning prefetches (and a checkpoint then skips) a batch when a loader has no length


class BatchStream:
    """Endless batches whose place is (epoch, position), so that a resumed run reads on where it stopped.

    It is a single-pass iterator with one cursor.

    Class attributes:
        on_device: whether batches need not be moved any more.

    Args:
        seed: fixes the order of all epochs.
    """

    on_device: ClassVar[bool] = False

    def __init__(self, seed: int):
        self.seed = seed
        self.epoch = 0
        self.position = 0  # batches of this epoch that were handed out

    @property
    def unchanged(self) -> bool:
        """Whether each batch is the one before."""
        return False

    def batches(self, epoch: int) -> Iterable[Any]:
        """The batches of one epoch; the same epoch gives the same batches."""
        raise NotImplementedError

    def __len__(self) -> int:
        return ENDLESS

    def __iter__(self) -> BatchStream:
        self._batches = self._endless()
        return self

    def __next__(self) -> Any:
        return next(self._batches)

    def _endless(self) -> Iterator[Any]:
        while True:
            skip = self.position
            empty = True
            for index, batch in enumerate(self.batches(self.epoch)):
                empty = False
                if index >= skip:
                    self.position = index + 1
                    yield batch
            if empty:
                raise DataError("The training data yields no batch: check the size of the data set and of its batches.")
            self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """The place in the stream."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Read on from the place that :meth:`state_dict` gave."""
        self.epoch, self.position = state["epoch"], state["position"]


class TensorStream(BatchStream):
    """Batches of inputs and targets in memory, shuffled in each epoch.

    Args:
        inputs: (N, ...), or a tree of such tensors.
        targets: (N, ...).
        batch_size: samples per batch; None for all of them, unshuffled.
        seed: fixes the order of all epochs.
    """

    on_device: ClassVar[bool] = True

    def __init__(self, inputs: Inputs, targets: Tensor, batch_size: int | None, seed: int):
        super().__init__(seed)
        self.inputs, self.targets = inputs, targets
        self.batch_size = None if batch_size is None or batch_size >= len(targets) else batch_size

    @property
    def unchanged(self) -> bool:
        return self.batch_size is None

    def batches(self, epoch: int) -> Iterable[Batch]:
        if self.batch_size is None:
            return [(self.inputs, self.targets)]
        generator = torch.Generator().manual_seed(derived_seed(self.seed, epoch))
        order = torch.randperm(len(self.targets), generator=generator).to(self.targets.device)
        count = len(order) // self.batch_size
        order = order[: count * self.batch_size]
        inputs = trees.mapped(lambda values: values.index_select(0, order), self.inputs)
        targets = self.targets.index_select(0, order)
        if isinstance(inputs, Tensor):
            return zip(inputs.chunk(count), targets.chunk(count), strict=True)
        parts = [slice(first, first + self.batch_size) for first in range(0, len(order), self.batch_size)]
        return ((trees.rows(inputs, part), targets[part]) for part in parts)


class LoaderStream(BatchStream):
    """An ordinary (finite) loader as an endless, replayable stream.

    Whatever the loader draws from torch's global generator, it draws here from a stream of its own that is fixed by
    the seed and the epoch; the place in an epoch is found again by reading up to it.

    Args:
        loader: any iterable of batches, such as a ``torch.utils.data.DataLoader``.
        seed: fixes the order of all epochs.
    """

    def __init__(self, loader: Iterable[Any], seed: int):
        super().__init__(seed)
        self.loader = loader

    @property
    def once(self) -> bool:
        """Whether the loader is an iterator, which can be read only once."""
        return isinstance(self.loader, Iterator)

    @property
    def unchanged(self) -> bool:
        """As above; known of a DataLoader that gives all samples of a TensorDataset at once, in their order."""
        loader = self.loader
        return (
            isinstance(loader, DataLoader)
            and type(loader.dataset) is TensorDataset
            and type(loader.sampler) is SequentialSampler
            and loader.collate_fn is default_collate
            and loader.batch_size is not None
            and loader.batch_size >= len(loader.dataset)
        )

    def batches(self, epoch: int) -> Iterator[Any]:
        for own in self._generators():
            own.manual_seed(derived_seed(self.seed, epoch))
        private = torch.Generator().manual_seed(derived_seed(self.seed, epoch)).get_state()
        iterator = None
        while True:
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(private)
                iterator = iter(self.loader) if iterator is None else iterator
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
                private = torch.get_rng_state()
            yield batch

    def _generators(self) -> Iterator[torch.Generator]:
        """Those of a DataLoader, of its sampler and of the sampler of its batches, where its author gave them some."""
        sampler = getattr(self.loader, "sampler", None)
        batches = getattr(self.loader, "batch_sampler", None)
        for holder in (self.loader, sampler, batches, getattr(batches, "sampler", None)):
            own = getattr(holder, "generator", None)
            if isinstance(own, torch.Generator):
                yield own


def as_stream(loader: Iterable[Any], seed: int) -> BatchStream:
    """A loader as an endless stream of batches; a stream stays as it is."""
    return loader if isinstance(loader, BatchStream) else LoaderStream(loader, seed)
