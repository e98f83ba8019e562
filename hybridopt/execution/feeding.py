"""Whatever data a Trainer is given, as the endless and replayable stream that a trial trains on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities import CombinedLoader
from torch import Tensor

from hybridopt.core.data import as_stream, replayable
from hybridopt.errors import ConfigError, DataError


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


def check_is_pair(batch: Any) -> None:
    """Refuse batches that are not inputs and targets.

    Raises:
        DataError: in a sentence that says what the batch is.
    """
    if not (isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)):
        what = [type(part).__name__ for part in batch] if isinstance(batch, tuple | list) else type(batch).__name__
        raise DataError(
            f"A batch must be a pair of tensors, inputs and targets, but is {what}: let the data set return such pairs."
        )
