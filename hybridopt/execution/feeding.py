"""Whatever data a Trainer is given, as the endless and replayable stream that a trial trains on."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.utilities import CombinedLoader
from torch import Tensor, nn

from hybridopt.core.data import replayable
from hybridopt.core.objective import Batch
from hybridopt.core.stream import BatchStream, LoaderStream, as_stream
from hybridopt.engine import trees
from hybridopt.engine.normalisation import normalising
from hybridopt.engine.trees import Inputs
from hybridopt.errors import ConfigError, DataError

CALIBRATION = 1024  # training samples, or one batch, by which statistics of batch normalisation are estimated


def make_endless(trainer: Trainer, seed: int) -> None:
    """Let the training data of this fit come from a stream that begins again where it ends, epoch after epoch.

    Without it, Lightning ends after one epoch of an ordinary loader, with most of the budget unspent.

    Args:
        trainer: about to fit; its loaders have not been asked for yet.
        seed: fixes the order of the batches, unless the data have a seed of their own.

    Raises:
        ConfigError: there are several loaders, or what was given is none.
    """
    source = trainer.fit_loop._data_source
    data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    if data is not None:
        if not getattr(data, "is_replayable", False):
            replayable(data, seed)
            data.has_seed_of_trial = True
        elif getattr(data, "has_seed_of_trial", False):  # of another trial, before
            data.batch_seed = seed
    elif not isinstance(source.instance, LightningModule):
        source.instance = as_stream(one_loader(source.instance), seed)


def one_loader(loader: Any) -> Iterable[Any]:
    """A loader, if it is a single one."""
    several = isinstance(loader, CombinedLoader | Mapping) or (isinstance(loader, list | tuple) and len(loader) != 1)
    if several or not isinstance(loader, Iterable):
        raise ConfigError(
            f"A Trial trains on the batches of one loader, but was given a {type(loader).__name__}: give "
            "Trainer.fit one DataLoader, or a datamodule whose train_dataloader() returns one."
        )
    return loader[0] if isinstance(loader, list | tuple) else loader


def as_batch(batch: Any) -> Batch:
    """A loader's batch as inputs, a tensor or a tree of tensors, and targets.

    Raises:
        DataError: it is something else; the sentence says what.
    """
    pair = isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[1], Tensor)
    inputs = trees.plain(batch[0]) if pair else None
    if isinstance(inputs, Tensor):
        return inputs, batch[1]
    found = trees.leaves(inputs) if pair else []
    if not found or not all(isinstance(part, Tensor) for part in found):
        raise DataError(
            f"A batch must be a pair of tensors, inputs and targets, but is {trees.form(batch)}: let the data set, or "
            "the loader's collate_fn, return such pairs; inputs may be a dict or tuple of tensors."
        )
    sizes = [len(part) if part.ndim else None for part in found]
    if set(sizes) != {len(batch[1])}:
        raise DataError(
            f"The tensors of a batch must have a sample a row, {len(batch[1])} as the targets, but have "
            f"{', '.join(map(str, sizes))}: give what all samples share (a causal mask, say) to the model."
        )
    return cast(Batch, (inputs, batch[1]))


def first_batch(datamodule: LightningDataModule) -> Batch:
    """The first batch of a new stream of training, where the loader has it."""
    if getattr(datamodule, "sets", None) is None:
        datamodule.setup("fit")
    return as_batch(next(iter(datamodule.train_dataloader())))


@contextmanager
def unnoticed() -> Iterator[None]:
    """Inside, what is drawn from global generators is not missed outside."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def peek(trainer: Trainer) -> Batch | None:
    """A batch of training before training begins, on the device; None of a loader that can be read only once."""
    found = few(trainer, 1)
    return found[0] if found else None


def calibration(trainer: Trainer, model: nn.Module) -> list[Inputs]:
    """Inputs of the first batches of training, by which statistics of batch normalisation are estimated.

    Args:
        trainer: about to fit.
        model: the network.

    Returns:
        Inputs (B, ...) on the device, :data:`CALIBRATION` samples or one batch; none where the network keeps no
        statistics, or where training data can be read only once.
    """
    return [inputs for inputs, _ in few(trainer, CALIBRATION)] if normalising(model) else []


def few(trainer: Trainer, size: int) -> list[Batch]:
    """The first batches of an epoch, on the device, that have so many samples together; fewer if there are no more."""
    data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    stream: Any = data.train_dataloader() if data is not None else trainer.fit_loop._data_source.instance
    if not isinstance(stream, BatchStream) or (isinstance(stream, LoaderStream) and stream.once):
        return []
    taken: list[Batch] = []
    with unnoticed():
        for loaded in stream.batches(0):
            batch = trainer.strategy.batch_to_device(trainer.precision_plugin.convert_input(loaded))
            taken.append(as_batch(batch))
            if sum(len(targets) for _, targets in taken) >= size:
                break
    return taken
