"""A progress bar whose length is the budget."""

from __future__ import annotations

import sys
import time
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ProgressBar
from tqdm import tqdm

from hybridopt.execution.trial import Trial

REFRESH, REFRESH_IN_A_FILE = 0.1, 10.0  # seconds


class BudgetBar(ProgressBar):
    """Shows the share of the budget that is spent, the phase, and the latest losses and metrics."""

    skips_batches = True  # it need not see every batch

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm | None = None
        self._enabled = True
        self._every = REFRESH if sys.stderr.isatty() else REFRESH_IN_A_FILE
        self._next = 0.0

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_start(self, trainer: Trainer, trial: Trial) -> None:
        limits = trial.budget.limits()
        self._unit = next(iter(limits))
        self._bar = tqdm(
            total=limits[self._unit],
            initial=min(getattr(trial.ledger, self._unit), limits[self._unit]),
            unit=" " + self._unit,
            unit_scale=self._unit != "seconds",
            file=sys.stderr,
            disable=not self._enabled or trainer.global_rank > 0,
            dynamic_ncols=True,
            bar_format="{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}]{postfix}",
        )
        self._describe(trial)

    def on_train_batch_end(self, trainer: Trainer, trial: Trial, *args: Any) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._every
            self._advance(trial)

    def on_validation_end(self, trainer: Trainer, trial: Trial) -> None:
        if self._bar is not None and trial.curve:
            shown = {name.removeprefix("val/"): f"{value:.3f}" for name, value in trial.curve[-1][1].items()}
            self._bar.set_postfix(shown, refresh=False)

    def on_train_end(self, trainer: Trainer, trial: Trial) -> None:
        self._advance(trial)
        self._close()

    def on_exception(self, trainer: Trainer, trial: Trial, exception: BaseException) -> None:
        self._close()

    def _advance(self, trial: Trial) -> None:
        self._describe(trial)
        if self._bar is not None:
            self._bar.n = min(getattr(trial.ledger, self._unit), self._bar.total)
            self._bar.refresh()

    def _describe(self, trial: Trial) -> None:
        if self._bar is not None:
            self._bar.set_description_str(f"{trial.ledger.path or 'training'} ", refresh=False)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
