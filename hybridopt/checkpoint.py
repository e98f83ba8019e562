"""Checkpoints that are whole or not there, written at the marks of the budget and when a signal asks to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.plugins.io import TorchCheckpointIO

from hybridopt.errors import Interrupted
from hybridopt.trial import Trial

FILE = "checkpoints/last.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, syncs, and renames: a crash leaves the former checkpoint."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)


class MarkCheckpoint(Callback):
    """Saves at each mark, after its validation; on SIGINT or SIGTERM saves after the running step and stops.

    Args:
        directory: the run's directory.
        signals: what has arrived, as :func:`catching_signals` notes it.
    """

    def __init__(self, directory: Path, signals: list[int]):
        self.path = directory / FILE
        self.signals = signals

    def on_validation_end(self, trainer: Trainer, trial: Trial) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking and not trainer.fast_dev_run:
            self._save_and_maybe_stop(trainer, trial)

    def on_train_batch_end(self, trainer: Trainer, trial: Trial, *args: Any) -> None:
        if self.signals and not trial.at_mark:  # at a mark the validation comes first, and saves
            self._save_and_maybe_stop(trainer, trial)

    def _save_and_maybe_stop(self, trainer: Trainer, trial: Trial) -> None:
        trainer.save_checkpoint(self.path)
        if self.signals and not trial.ledger.exhausted:
            name = signal.Signals(self.signals[0]).name
            raise Interrupted(
                f"Stopped by {name} after {trial.ledger.forwards} forwards; to go on, type: "
                f"hybridopt resume={self.path.parent.parent}",
                self.signals[0],
            )


@contextmanager
def catching_signals() -> Iterator[list[int]]:
    """A list that SIGINT and SIGTERM are added to; the second one of a kind acts as it always does."""
    caught: list[int] = []
    former: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        caught.append(number)
        signal.signal(number, former[number])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            former[number] = signal.signal(number, note)
    except ValueError:  # not in the main thread: signals are somebody else's business
        pass
    try:
        yield caught
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
