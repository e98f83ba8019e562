"""What the first step of a run would refuse, asked before the run is accepted: a refusal leaves nothing behind.

Some things only the built parts know: how many dimensions a search has, what a generation costs, whether the network
and the objective fit together. Parts that are thrown away afterwards are attached, begin, and ask some questions. Of
each population one member answers for all: that costs a fraction of a step, and changes nothing of the run. From the
first answer on, which is not what the run will hear, nothing counts but what generations cost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, cast

import torch
from pytorch_lightning import LightningDataModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities import move_data_to_device
from torch import Tensor

from hybridopt.core.hybrid import Hybrid
from hybridopt.core.ledger import Ledger, Unaffordable
from hybridopt.core.objective import Batch, Objective
from hybridopt.core.oracle import Oracle
from hybridopt.core.spec import DataSpec
from hybridopt.core.strategy import Strategy
from hybridopt.engine.evaluator import Evaluator, sliced
from hybridopt.engine.memory import WithinMemory, out_of_memory, without_limit
from hybridopt.engine.modes import evaluating
from hybridopt.errors import ConfigError, DataError, HybridoptError, brief, options
from hybridopt.execution.evaluation import Evaluation
from hybridopt.execution.feeding import as_batch, first_batch, unnoticed
from hybridopt.execution.trial import Trial

log = logging.getLogger(__name__)

ANSWERS = 4  # to a strategy: more than any asks for before its first generation
FEW = 8  # samples of a held-out set, with which metrics are tried before the run


class Answered(BaseException):
    """The first questions were answered; no strategy may take it for a failure of its own."""


class FewAnswers(Ledger):
    """An account of which nothing is ever spent: after :data:`ANSWERS` charges the rehearsal ends."""

    answers = 0

    def charge(self, forwards: int, evaluations: int = 0) -> None:
        self.answers += 1
        if self.answers == ANSWERS:
            raise Answered


class OneMember(Evaluator):
    """Evaluates the first member of a population, whatever its size, as if the others were the same."""

    def __call__(self, population: Any, *arguments: Any, **more: Any) -> tuple[Tensor, int]:
        members = len(population)
        with without_limit():
            answer, cost = super().__call__(sliced(population, slice(0, 1), members), *arguments, **more)
        return answer.expand(members, *answer.shape[1:]), cost


def rehearse(make: Callable[[Batch], Trial], datamodule: LightningDataModule, device: torch.device) -> None:
    """Refuse what the first step of a run would refuse; of a hybrid, the first step of each phase.

    What fails in other ways is left to the run itself, whose record says how.

    Args:
        make: gives a trial like the run's, with parts of its own, for a batch; it is called once.
        datamodule: the run's, whose loaders start again at their first batch.
        device: where the run will be.

    Raises:
        HybridoptError: a sentence for the user.
    """
    with unnoticed(), WithinMemory(together=False):
        try:
            batch = move_data_to_device(first_batch(datamodule), device)
            trial = make(batch).to(device)
            check_held_out(trial, datamodule)
            for turn in turns(trial.strategy):
                ask_once(trial, turn, batch)
        except HybridoptError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise ConfigError(
                    f"The first step does not fit into memory ({brief(error)}): choose smaller sizes."
                ) from error
            log.debug("The rehearsal failed, and so will the run.", exc_info=error)


def turns(strategy: Strategy) -> Iterable[str | None]:
    """The phases of a hybrid, each of which is to open it once; None for what has no phases."""
    return list(strategy.phases) if isinstance(strategy, Hybrid) else [None]


def ask_once(trial: Trial, opening: str | None, batch: Batch) -> None:
    """Let the strategy begin, and take its first step as far as some answers.

    Args:
        trial: whose parts are thrown away.
        opening: the phase of a hybrid that begins.
        batch: on the device.
    """
    account = FewAnswers(trial.budget)
    strategy, oracle = trial.strategy, of_one_member(trial, account)
    if opening is not None:
        strategy.opening = lambda _: opening  # pyright: ignore[reportArgumentType]
    try:
        strategy.attach(oracle)
        strategy.begin(oracle, batch)
        strategy.step(oracle, batch)
    except Answered:
        return
    except Unaffordable:
        raise
    except Exception as error:
        if not account.answers:
            raise
        log.debug("The rehearsal went as far as its answers, which were made up.", exc_info=error)


def check_held_out(trial: Trial, datamodule: LightningDataModule) -> None:
    """Refuse a held-out set of a few samples, on which metrics (R², say) cannot be computed.

    Raises:
        DataError: with the words of the metric.
    """
    if not trial.objective.of_one_pass:
        return  # rollouts and solvers may take long
    known = ("val", "test") if hasattr(datamodule, "sets") else ("val",)  # others are set up for the test later
    for name in known:
        loader: Any = getattr(datamodule, f"{name}_dataloader")()
        batches = [as_batch(batch) for batch in islice(loader, 2)]
        if len(batches) != 1 or len(batches[0][1]) > FEW:
            continue
        evaluation = Evaluation(trial.model, trial.objective, cast(DataSpec, trial.spec), trial.device)
        with evaluating(trial.model), without_limit():
            evaluation.update(move_data_to_device(batches[0], trial.device))
        try:
            evaluation.values(name)
        except ValueError as error:
            raise DataError(
                f"The {name} set is too small, with {len(batches[0][1])} in it, for the metrics of "
                f"{type(trial.objective).__name__} ({brief(error)}): make it larger, such as by "
                f"dataset.{name}_fraction."
            ) from error


def of_one_member(trial: Trial, account: Ledger) -> Oracle:
    """An oracle that evaluates one member of each population."""
    generator = torch.Generator(trial.device).manual_seed(trial.seed)
    oracle = Oracle(
        *(trial.model, trial.objective, account, generator),
        encoding=trial.encoding,
        in_place=trial.strategy.in_place,
        **trial._engine,
    )
    settings = {name: value for name, value in trial._engine.items() if name not in ("mode", "graph")}
    oracle._evaluate = OneMember(trial.model, trial._engine["mode"], **settings)
    if trial.spec is not None:
        oracle.feed.directions = Evaluation(trial.model, trial.objective, trial.spec, trial.device).directions
    return oracle


def check_monitors(trainer: Trainer, objective: Objective, spec: DataSpec) -> None:
    """Refuse a callback of Lightning's that watches a metric which there will not be.

    Callbacks of others may log metrics of their own, so that nothing is known where there is one.

    Raises:
        ConfigError: with the names that there are.
    """
    known = Evaluation(torch.nn.Identity(), objective, spec, torch.device("cpu")).directions
    callbacks = [one for one in cast(Any, trainer).callbacks if not isinstance(one, Checkpoint)]
    if not all(type(one).__module__.partition(".")[0] in ("pytorch_lightning", "hybridopt") for one in callbacks):
        return
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if monitor is not None and monitor not in known:
            raise ConfigError(
                f"{type(callback).__name__} has no metric {monitor!r} to monitor.{options(known, str(monitor))}"
            )
