"""What several ranks of a run must agree on: weights, batches, and where they have come to."""

from __future__ import annotations

from typing import Any, cast

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities import move_data_to_device
from torch import Tensor, nn
from torchmetrics import MetricCollection

from hybridopt.core.objective import Batch
from hybridopt.engine import trees
from hybridopt.engine.sharding import ProcessGroup, Sharding
from hybridopt.errors import ConfigError, DataError


def join(trainer: Trainer, model: nn.Module, metrics: MetricCollection, device: torch.device) -> Sharding:
    """Find the other ranks, and take the first one's weights before the strategy takes its start from them.

    Raises:
        ConfigError: the Trainer distributes in a way in which populations cannot be shared out.
    """
    if not isinstance(trainer.strategy, DDPStrategy):
        name = type(trainer.strategy).__name__
        raise ConfigError(f"Populations are shared out under DDP only, not under {name}: set trainer.strategy=ddp.")
    weights = move_data_to_device(model.state_dict(), torch.device("cpu"))
    model.load_state_dict(trainer.strategy.broadcast(weights))
    for metric in metrics.modules():
        cast(Any, metric).distributed_available_fn = lambda: False  # every rank has seen the whole set
    return ProcessGroup(device)


def check_batch(sharding: Sharding, batch: Batch) -> None:
    """Refuse batches that differ from rank to rank."""
    if not sharding.all_equal([*trees.leaves(batch[0]), batch[1]]):
        raise DataError(
            "The ranks see different batches, so that losses do not compare: give the Trainer the settings "
            "**Trial.trainer_settings, and use data that is shuffled alike everywhere, such as a TensorDataModule."
        )


def check_model(sharding: Sharding, model: nn.Module, forwards: int) -> None:
    """Refuse weights that differ from rank to rank."""
    if not sharding.all_equal(part for part in model.state_dict().values() if isinstance(part, Tensor)):
        raise ConfigError(
            f"The ranks have come to different weights after {forwards} forwards: set trainer.deterministic=true, or "
            "trainer.devices=1."
        )
