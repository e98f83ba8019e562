"""The steps of a trial: the strategy's own, with as little around it as there can be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from hybridopt.execution.fastpath import Optimization, may_batch_steps
from hybridopt.execution.feeding import as_batch

if TYPE_CHECKING:
    from hybridopt.execution.trial import Trial

NEVER = 2**62  # a validation interval that no run reaches
WINDOW = 0.05  # seconds of steps after which the Trainer goes on: progress bar, signals
MARGIN = 1e-9  # relative: next to the next point of a curve it is looked at closely


class Steps:
    """Runs a trial's steps, books their time, and says when a mark is reached.

    Attributes:
        optimization: how backward passes and updates are done.

    Args:
        trial: at the start of training.
    """

    def __init__(self, trial: Trial):
        self.trial, self.trainer, self.strategy = trial, trial.trainer, trial.strategy
        self.oracle, self.ledger, self.records = trial.oracle, trial.ledger, trial.records
        self.optimization = Optimization(trial)
        self._turns = may_batch_steps(self.trainer)
        self._counts = bool(trial.strategy.optimizers())
        self._limited = self.trainer.max_steps > 0
        self._timed = trial.budget.seconds is not None
        self._marks = self.ledger.marks_passed
        self.records.skip()
        self._next = 0.0  # the share of the budget up to which no point of a curve is due
        self.restart_clock()

    def restart_clock(self) -> None:
        """What has been done since the last step, such as validation, is not training time."""
        self._lap = time.perf_counter()

    def window(self, batch: Any) -> None:
        """One step, and as many more as fit into :data:`WINDOW`, unless somebody must see each batch."""
        end = time.perf_counter() + WINDOW
        self.one(batch)
        while self._turns and not self.trial.at_mark and not self.trainer.should_stop and self._lap < end:
            loaded = next(cast(Any, self.trainer.train_dataloader))
            self.one(self.trainer.precision_plugin.convert_input(loaded))

    def one(self, loaded: Any) -> None:
        """One step on a loader's batch."""
        batch = as_batch(loaded)
        if not self.trial.begun:
            self.strategy.begin(self.oracle, batch)
            self.trial.begun = True
        self.records.add(self.strategy.step(self.oracle, batch))
        if not self._counts:  # Lightning counts steps of optimisers; this one is a mock
            self.optimization.count_step()
        self._book_time()
        self._look_at_ledger()

    def _book_time(self) -> None:
        now = time.perf_counter()
        elapsed = now - self._lap
        if self._timed:
            elapsed = self.trial.sharding.broadcast(elapsed)  # all ranks must reach a mark, and the end, at one step
        self.ledger.spend_time(elapsed)
        self._lap = now

    def _look_at_ledger(self) -> None:
        finished, phase_over = self.strategy.finished(), self.strategy.phase_over()
        quiet = self.ledger.progress < self._next and not (finished or phase_over)
        if not quiet:
            self._look_closely(finished, phase_over)
        elif self.trial.at_mark:
            self._be_at_mark(False)
        if self._limited and self.trainer.max_steps <= self.trainer.global_step:
            self.trainer.should_stop = True

    def _look_closely(self, finished: bool, phase_over: bool) -> None:
        marks = self.ledger.marks_passed
        over = self.ledger.exhausted or finished
        self._be_at_mark(marks > self._marks or phase_over or over)
        if self.trial.at_mark or self.records.due:
            self.trial.report(self.records.take())
        if self.trial.at_mark:
            self._marks = marks
        if over:
            self.trainer.should_stop = True
        self._next = (1 - MARGIN) * min(self._share_of(marks + 1), self.records.next_point, 1.0)

    def _share_of(self, mark: int) -> float:
        return self.ledger.budget.share_at(mark, self.ledger.budget.marks)

    def _be_at_mark(self, at_mark: bool) -> None:
        self.trial.at_mark = at_mark
        if not self.trainer.fast_dev_run:  # pyright: ignore[reportAttributeAccessIssue]
            self.trainer.val_check_batch = 1 if at_mark else NEVER
