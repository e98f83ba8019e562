"""One network, one strategy, one budget, as a LightningModule."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any, ClassVar

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from hybridopt.core.compatibility import check_compatible
from hybridopt.core.data import ENDLESS
from hybridopt.core.encoding import Direct, Encoding
from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.objective import Batch, Objective
from hybridopt.core.oracle import Oracle
from hybridopt.core.spec import DataSpec
from hybridopt.core.strategy import Strategy
from hybridopt.core.view import Closure
from hybridopt.engine.randomness import PrivateRng, derived_seed
from hybridopt.engine.sharding import Alone, Sharding
from hybridopt.errors import ConfigError
from hybridopt.execution.averages import Averages
from hybridopt.execution.fastpath import count_step, goes_direct, may_batch_steps
from hybridopt.execution.feeding import check_is_pair, make_endless
from hybridopt.execution.ranks import check_batch, check_model, join

NEVER = 2**62  # a validation interval that no run reaches
STRATEGY, GLOBAL = 0, 1  # streams of random numbers that one seed fixes
STEP_WINDOW = 0.05  # seconds of steps after which the Trainer goes on: progress bar, signals
RECORDS_PER_MARK = 10  # training losses are averaged over this part of the way between two marks

Values = dict[str, float]


class Trial(LightningModule):
    """Trains a model by a strategy until the budget is spent; strategies are to it what optimisers are to others.

    It fits into anybody's script: ``Trainer(**Trial.trainer_settings).fit(Trial(...), datamodule=...)``.
    Validation runs at the marks of the budget, with the parameters that the strategy recommends then; loggers get
    their values at ``step`` = forwards spent.

    Under Lightning's DDP every rank sees every batch, draws every population and does every tell; what is shared out
    is the evaluation of the members, and only answers travel. The ranks agree bit for bit (this is checked at the
    marks), and the members are those of one process. First-order calls are repeated on every rank, charged once, and
    DDP averages their equal gradients: right, but no faster than one process. Slicing the batch would be faster and
    train something else wherever a network has batch normalisation or dropout.

    Class attributes:
        trainer_settings: what a Trainer needs to know: one endless epoch, validation when the trial says so (with
            Lightning's own interval, callbacks such as EarlyStopping would wait for the end of the epoch), and the
            same batches on all ranks.

    Attributes:
        sharding: how populations are shared out; known from ``setup`` on.

    Args:
        model: the network.
        objective: what is minimised, and the metrics.
        strategy: what trains.
        budget: what may be spent.
        encoding: how search vectors become parameters; the parameters themselves if None.
        seed: fixes all that the strategy draws.
        mode: how populations are run: "auto", "vmap" or "loop".
        chunk: how many members are run at a time: "auto" or a number.
        dropout: whether populations are run with dropout on, each member with draws of its own.
        batch_statistics: whether populations are normalised by the batch's statistics, not by the running ones.
        spec: the shape of the data; the datamodule's ``spec`` if None.

    Raises:
        ConfigError: the parts do not fit together.
    """

    trainer_settings: ClassVar[dict[str, Any]] = {
        "max_epochs": 1,
        "num_sanity_val_steps": 0,
        "check_val_every_n_epoch": None,
        "val_check_interval": ENDLESS,
        "use_distributed_sampler": False,
    }

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        strategy: Strategy,
        budget: Budget,
        *,
        encoding: Encoding | None = None,
        seed: int = 0,
        mode: str = "auto",
        chunk: str | int = "auto",
        dropout: bool = False,
        batch_statistics: bool = False,
        spec: DataSpec | None = None,
    ):
        super().__init__()
        check_compatible(objective, strategy, encoding, spec)
        self.automatic_optimization = False
        self.model, self.objective, self.strategy = model, objective, strategy
        self.encoding = encoding or Direct()
        self.budget, self.seed, self.spec = budget, seed, spec
        self._engine = {"mode": mode, "chunk": chunk, "dropout": dropout, "batch_statistics": batch_statistics}
        self.ledger = Ledger(budget)
        self.sharding: Sharding = Alone()
        self.curve: list[tuple[int, Values]] = []  # (forwards, validation metrics), the last mark last
        self.phase_ends: dict[str, Values] = {}
        self.tested: Values = {}
        self.at_mark = False
        self._begun = self._loaded = False
        self._standing = ExitStack()  # what stands in the model while it is validated
        self._training: dict[str, Tensor] = {}  # the parameters that it will have again
        self._batch_unchecked = True
        self._marks = 0
        self._records = 0
        self._averages = Averages()

    # -- Lightning's hooks -------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        device = self.trainer.strategy.root_device
        self.to(device)
        spec = self.spec or getattr(self.trainer.datamodule, "spec", None)
        if spec is None:
            raise ConfigError("The shape of the data is unknown: give Trial a spec, or the Trainer a DataModule.")
        self._metrics = self.objective.metrics(spec).to(device)
        self._validation_loss = Averages()
        if self.trainer.world_size > 1:
            self.sharding = join(self.trainer, self.model, self._metrics, device)
        if stage == "fit":
            make_endless(self.trainer, self.seed)
            check_compatible(self.objective, self.strategy, self.encoding, spec)
            self._start(device)

    @property
    def _ddp_params_and_buffers_to_ignore(self) -> list[str]:
        """DDP reads this when it wraps us: it is to average the model's gradients, and to leave all else alone.

        It would broadcast a strategy's buffers (state as large as the network) at each step, and wait for gradients of
        parameters that are none of the model's.
        """
        parameters = [name for name, _ in self.named_parameters() if not name.startswith("model.")]
        return parameters + [name for name, _ in self.named_buffers()]

    def _start(self, device: torch.device) -> None:
        self._global_stream = PrivateRng(derived_seed(self.seed, GLOBAL), device)
        self.oracle = Oracle(
            self.model,
            self.objective,
            self.ledger,
            torch.Generator(device).manual_seed(derived_seed(self.seed, STRATEGY)),
            encoding=self.encoding,
            backward=self._backward,
            update=self._update,
            sharding=self.sharding,
            **self._engine,
        )
        self.strategy.attach(self.oracle)

    def configure_optimizers(self) -> list[torch.optim.Optimizer] | None:
        optimizers = self.strategy.optimizers()
        self._without_optimizer = not optimizers
        return optimizers or None

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, ...) -> outputs (B, output_size)."""
        return self.model(inputs)

    def on_train_start(self) -> None:
        self._marks, self._records = self.ledger.marks_passed, self._records_passed()
        self._batch_unchecked = True
        if self._loaded:
            self.strategy.attach(self.oracle)
        self._turns = may_batch_steps(self.trainer)
        wrapped = self.optimizers()
        self._wrapped = wrapped if isinstance(wrapped, list) else [wrapped]
        self._direct = goes_direct(self, self.trainer)
        self._lap = time.perf_counter()

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> int | None:
        if self.ledger.exhausted or (self._begun and self.strategy.finished()):
            return -1  # resumed from the last checkpoint: nothing is left to train
        if self._batch_unchecked:
            self._batch_unchecked = False
            check_is_pair(batch)
            check_batch(self.sharding, batch)
        return None

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """One step of the strategy, and as many more as fit into :data:`STEP_WINDOW`, since the Trainer costs more.

        Where somebody counts on the Trainer to see each batch (:func:`may_batch_steps`), it is one.
        """
        end = time.perf_counter() + STEP_WINDOW
        with self._global_stream.active():
            self._step(batch)
            while self._turns and not self.at_mark and not self.trainer.should_stop and time.perf_counter() < end:
                self._step(self.trainer.precision_plugin.convert_input(next(self.trainer.train_dataloader)))

    def _step(self, batch: Batch) -> None:
        if not self._begun:
            self.strategy.begin(self.oracle, batch)
            self._begun = True
        self._averages.add(self.strategy.step(self.oracle, batch))
        if self._without_optimizer:  # Lightning counts steps of optimisers; this one is a mock
            count_step(self._wrapped[0])
        self._book_time()
        self._look_at_ledger()

    def on_validation_start(self) -> None:
        self._metrics.reset()
        if self._begun and self.trainer.state.fn == "fit":
            self._training = {name: value.data for name, value in self.oracle.parameters().items()}
            self._standing.enter_context(self.recommending())
            check_model(self.sharding, self.model, self.ledger.forwards)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        values = self._evaluated("val")
        # For callbacks such as EarlyStopping. All ranks have equal values, of which max is an exact mean.
        self.log_dict(values, logger=False, prog_bar=False, reduce_fx="max", sync_dist=True)
        if self.trainer.state.fn != "fit" or self.trainer.sanity_checking:
            return
        self.curve.append((self.ledger.forwards, values))
        for path in self.ledger.paths:
            self.phase_ends[path] = values
        self._report(values | self._costs())

    def on_validation_end(self) -> None:
        """Put the training weights back, once callbacks have kept what they want of the recommendation."""
        self._standing.close()
        self._training = {}
        self._lap = time.perf_counter()  # validation is not training time

    def on_train_end(self) -> None:
        recommended = self.recommended
        if recommended is not None:
            self.oracle.assign(recommended)

    @property
    def recommended(self) -> Tensor | None:
        """What the strategy recommends now (d,), in the oracle's coordinates; None for the model as it stands."""
        return self.strategy.recommend() if self._begun else None

    def recommending(self) -> AbstractContextManager[None]:
        """Inside, the model has the parameters that the strategy recommends; afterwards those of training."""
        return self.oracle.standing_in(self.recommended)

    def on_test_start(self) -> None:
        self._metrics.reset()

    def test_step(self, batch: Batch, batch_index: int) -> None:
        self._evaluate(batch)

    def on_test_epoch_end(self) -> None:
        self.tested = self._evaluated("test")
        self._report(self.tested)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["hybridopt"] = {
            "ledger": self.ledger.state_dict(),
            "generator": self.oracle.generator.get_state(),
            "global_stream": self._global_stream.states,
            "averages": self._averages.state_dict(),
            "curve": self.curve,
            "phase_ends": self.phase_ends,
            "begun": self._begun,
            "training_weights": self._training_weights(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["hybridopt"]
        self._loaded, self._begun = True, state["begun"]
        for name, value in state["training_weights"].items():
            checkpoint["state_dict"][f"model.{name}"] = value
        self.ledger.load_state_dict(state["ledger"])
        self.oracle.generator.set_state(state["generator"].cpu())
        self._global_stream.states = [part.cpu() for part in state["global_stream"]]
        self._averages.load_state_dict(state["averages"])
        self.curve = [(step, values) for step, values in state["curve"]]
        self.phase_ends = state["phase_ends"]

    def _training_weights(self) -> dict[str, Tensor]:
        """The parameters that training goes on with, where those of the model are a recommendation now."""
        own = self.oracle.parameters()
        return {name: data for name, data in self._training.items() if not torch.equal(data, own[name])}

    # -- after a step ------------------------------------------------------------------------------------------------

    def _backward(self, loss: Tensor) -> None:
        """By Lightning, which knows about precision, processes and hooks, unless there is nothing to know."""
        loss.backward() if self._direct else self.manual_backward(loss)

    def _update(self, optimizer: torch.optim.Optimizer, closure: Closure | None = None) -> None:
        """One step, likewise; Lightning counts it in any case."""
        wrapped = next((candidate for candidate in self._wrapped if candidate.optimizer is optimizer), None)
        if wrapped is None or self._direct:
            optimizer.step(closure)
        if wrapped is not None:
            count_step(wrapped) if self._direct else wrapped.step(closure)

    def _book_time(self) -> None:
        now = time.perf_counter()
        elapsed = now - self._lap
        if self.budget.seconds is not None:
            elapsed = self.sharding.agreed(elapsed)  # all ranks must reach a mark, and the end, at the same step
        self.ledger.spend_time(elapsed)
        self._lap = now

    def _look_at_ledger(self) -> None:
        marks = self.ledger.marks_passed
        over = self.ledger.exhausted or self.strategy.finished()
        self.at_mark = marks > self._marks or self.strategy.phase_over() or over
        if self.at_mark or self._records_passed() > self._records:
            self._flush_records()
        if self.at_mark:
            self._marks = marks
            self._batch_unchecked = True
        if not self.trainer.fast_dev_run:
            self.trainer.val_check_batch = 1 if self.at_mark else NEVER
        if over or 0 < self.trainer.max_steps <= self.trainer.global_step:
            self.trainer.should_stop = True

    def _records_passed(self) -> int:
        return math.floor(self.ledger.progress * self.budget.marks * RECORDS_PER_MARK)

    def _flush_records(self) -> None:
        self._records = self._records_passed()
        averages = self._averages.take()
        self._report({f"train/{name}": value for name, value in averages.items()} | self._costs())

    def _costs(self) -> Values:
        ledger = self.ledger
        return {
            "cost/forwards": ledger.forwards,
            "cost/seconds": ledger.seconds,
            "cost/evaluations": ledger.evaluations,
        }

    def _report(self, values: Mapping[str, float]) -> None:
        for logger in self.loggers:
            logger.log_metrics(dict(values), step=self.ledger.forwards)

    # -- validation and test -----------------------------------------------------------------------------------------

    def _evaluate(self, batch: Batch) -> None:
        inputs, targets = batch

        def forward(rows: Tensor) -> Tensor:  # of a population of one
            return self.model(rows if rows.ndim <= inputs.ndim else rows[0])[None]

        outputs = self.objective.outputs(forward, batch)[0]
        self._metrics.update(outputs, targets)
        self._validation_loss.add({"loss": self.objective.loss(outputs, targets)}, weight=len(inputs))

    @property
    def directions(self) -> dict[str, bool | None]:
        """Of each metric of validation: whether higher is better, None where neither is; known from ``setup`` on."""
        known = {name: metric.higher_is_better for name, metric in self._metrics.items(copy_state=False)}
        return {"val/loss": False} | {f"val/{name}": direction for name, direction in known.items()}

    def _evaluated(self, stage: str) -> Values:
        computed = {name: value.item() for name, value in self._metrics.compute().items()}
        return {f"{stage}/{name}": value for name, value in (self._validation_loss.take() | computed).items()}
