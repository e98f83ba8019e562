"""Lightning's Trainer, as a job sets it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from pytorch_lightning.utilities.exceptions import MisconfigurationException  # pyright: ignore[reportPrivateImportUsage]

from hybridopt.composition import building
from hybridopt.errors import ConfigError, oneline
from hybridopt.execution.checkpoint import AtomicCheckpointIO, MarkCheckpoint, Signals
from hybridopt.execution.parts import values_of
from hybridopt.execution.progress import BudgetBar
from hybridopt.execution.runtime import check_devices, check_precision
from hybridopt.execution.trial import Trial


def build_trainer(
    config: Mapping[str, Any], directory: Path, signals: Signals, checkpoints: AtomicCheckpointIO
) -> Trainer:
    """The Trainer of a job: the settings under ``trainer``, and what hybridopt sets itself.

    Args:
        config: the job's, plain values.
        directory: the run's directory.
        signals: that stop it.
        checkpoints: how they are written and read.

    Raises:
        ConfigError: a setting is hybridopt's own, or Lightning refuses one.
    """
    settings = dict(values_of(config, "trainer"))
    chosen = [
        building.build("callback", {"name": name, **(arguments or {})})
        for name, arguments in (settings.pop("callbacks", None) or {}).items()
    ]
    bar = settings.get("enable_progress_bar", True)
    own: list[Callback] = [BudgetBar()] if bar else []
    fixed: dict[str, Any] = {
        "callbacks": [*own, *chosen, MarkCheckpoint(directory, signals, checkpoints)],
        "logger": DummyLogger(),  # until it is known who leads
        "plugins": [checkpoints],
        "default_root_dir": directory,
        "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in chosen),
        "use_distributed_sampler": False,  # the population is what is shared out, every rank sees every batch
    }
    defaults = Trial.trainer_settings | {"enable_model_summary": False}
    clashing = sorted(fixed.keys() & settings.keys())
    if clashing:
        raise ConfigError(f"trainer.{clashing[0]} is set by hybridopt itself: leave it out.")
    try:
        trainer = Trainer(**cast(dict[str, Any], defaults | settings | fixed))
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise ConfigError(f"Lightning's Trainer refuses the settings under trainer: {oneline(error)}.") from error
    check_devices(trainer)
    check_precision(trainer, config["oracle"].get("precision", "float32"))
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise ConfigError(
            "Strategies of Lightning that spawn processes are not supported, since the result stays in them: set "
            "trainer.strategy=ddp."
        )
    return trainer
