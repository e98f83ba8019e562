"""One network, one strategy, one budget, as a LightningModule."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pytorch_lightning import Callback, LightningModule
from pytorch_lightning.core.hooks import DataHooks
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.plugins import Precision
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from pytorch_lightning.utilities import move_data_to_device
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor, nn

from hybridopt.core.data import ENDLESS, BatchStream
from hybridopt.core.encoding import Direct, Encoding
from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.objective import Batch, Objective
from hybridopt.core.oracle import Closure, Oracle
from hybridopt.core.spec import DataSpec
from hybridopt.core.strategy import Strategy
from hybridopt.engine.randomness import GlobalStream, derived_seed
from hybridopt.engine.sharding import Alone, Ranks, Sharding
from hybridopt.errors import ConfigError, DataError

NEVER = 2**62  # a validation interval that no run reaches
STRATEGY, GLOBAL = 0, 1  # streams of random numbers that one seed fixes
TURN = 0.05  # seconds of steps after which the Trainer has its turn: progress bar, signals
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
            self._join(device)
        if stage == "fit":
            check_compatible(self.objective, self.strategy, self.encoding, spec)
            self._start(device)

    def _join(self, device: torch.device) -> None:
        """Find the other ranks, and take the first one's weights before the strategy takes its start from them."""
        if not isinstance(self.trainer.strategy, DDPStrategy):
            name = type(self.trainer.strategy).__name__
            raise ConfigError(f"Populations are shared out under DDP only, not under {name}: set trainer.strategy=ddp.")
        self.sharding = Ranks(device)
        weights = move_data_to_device(self.model.state_dict(), torch.device("cpu"))
        self.model.load_state_dict(self.trainer.strategy.broadcast(weights))
        for metric in self._metrics.modules():
            metric.distributed_available_fn = lambda: False  # every rank has seen the whole set

    @property
    def _ddp_params_and_buffers_to_ignore(self) -> list[str]:
        """DDP reads this when it wraps us: it is to average the model's gradients, and to leave all else alone.

        It would broadcast a strategy's buffers (state as large as the network) at each step, and wait for gradients of
        parameters that are none of the model's.
        """
        parameters = [name for name, _ in self.named_parameters() if not name.startswith("model.")]
        return parameters + [name for name, _ in self.named_buffers()]

    def _start(self, device: torch.device) -> None:
        self._global_stream = GlobalStream(derived_seed(self.seed, GLOBAL), device)
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
        self.strategy.setup(self.oracle)

    def configure_optimizers(self) -> list[torch.optim.Optimizer] | None:
        optimizers = self.strategy.optimizers(self.model)
        self._without_optimizer = not optimizers
        return optimizers or None

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, ...) -> outputs (B, output_size)."""
        return self.model(inputs)

    def on_train_start(self) -> None:
        self._marks, self._records = self.ledger.marks_passed, self._records_passed()
        self._batch_unchecked = True
        self._turns = self._takes_turns()
        wrapped = self.optimizers()
        self._wrapped = wrapped if isinstance(wrapped, list) else [wrapped]
        self._direct = self._goes_direct()
        self._lap = time.perf_counter()

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> int | None:
        if self.ledger.exhausted:
            return -1  # resumed from the last checkpoint: nothing is left to train
        if self._batch_unchecked:
            self._check_batch(batch)
        return None

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """One step of the strategy, and as many more as fit into :data:`TURN`: the Trainer costs more than a small one.

        Where somebody counts on the Trainer to see each batch (see :meth:`_takes_turns`), it is one.
        """
        end = time.perf_counter() + TURN
        with self._global_stream.flowing():
            self._step(batch)
            while self._turns and not self.at_mark and not self.trainer.should_stop and time.perf_counter() < end:
                self._step(self.trainer.precision_plugin.convert_input(next(self.trainer.train_dataloader)))

    def _step(self, batch: Batch) -> None:
        record = self.strategy.step(self.oracle, batch)
        self._averages.add(record)
        if self._without_optimizer:  # Lightning counts steps of optimisers; this one is a mock
            self._count_step(self._wrapped[0])
        self._book_time()
        self._look_at_ledger()

    @staticmethod
    def _count_step(optimizer: LightningOptimizer) -> None:
        """What a wrapped optimiser tells Lightning around its step."""
        optimizer._on_before_step()
        optimizer._on_after_step()

    def _takes_turns(self) -> bool:
        """Whether several batches may pass in one of the Trainer's steps.

        Not if they must be moved, or agreed on by several ranks; nor if Lightning counts them, or a callback does.
        """
        trainer, stream = self.trainer, self.trainer.train_dataloader
        counted = trainer.fast_dev_run or trainer.limit_train_batches != 1.0 or trainer.world_size > 1
        watched = any(
            is_overridden(hook, callback, parent=Callback)
            for callback in trainer.callbacks
            if not getattr(callback, "skips_batches", False)
            for hook in ("on_train_batch_start", "on_train_batch_end")
        )
        hooks = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
        changed = any(is_overridden(hook, trainer.datamodule, parent=DataHooks) for hook in hooks)
        return isinstance(stream, BatchStream) and stream.on_device and not (counted or watched or changed)

    def on_validation_start(self) -> None:
        self._metrics.reset()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        values = self._evaluated("val")
        # For callbacks such as EarlyStopping. All ranks have equal values, of which max is an exact mean.
        self.log_dict(values, logger=False, prog_bar=False, reduce_fx="max", sync_dist=True)
        if self.trainer.state.fn != "fit" or self.trainer.sanity_checking:
            return
        self.curve.append((self.ledger.forwards, values))
        if self.ledger.path:
            self.phase_ends[self.ledger.path] = values
        self._report(values | self._costs())

    def on_validation_end(self) -> None:
        self._lap = time.perf_counter()  # validation is not training time

    def on_train_end(self) -> None:
        self.strategy.deploy(self.oracle)

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
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["hybridopt"]
        self.ledger.load_state_dict(state["ledger"])
        self.oracle.generator.set_state(state["generator"].cpu())
        self._global_stream.states = [part.cpu() for part in state["global_stream"]]
        self._averages.load_state_dict(state["averages"])
        self.curve = [(step, values) for step, values in state["curve"]]
        self.phase_ends = state["phase_ends"]

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
            self._count_step(wrapped) if self._direct else wrapped.step(closure)

    def _goes_direct(self) -> bool:
        """Whether backward passes and updates need nothing of Lightning: one device, full precision, no listeners.

        Its ways there cost as much as the backward pass of a small network.
        """
        plain = type(self.trainer.precision_plugin) is Precision and type(self.trainer.strategy) is SingleDeviceStrategy
        hooks = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")
        listeners = [(self, LightningModule), *((callback, Callback) for callback in self.trainer.callbacks)]
        return plain and not any(is_overridden(hook, who, parent=parent) for who, parent in listeners for hook in hooks)

    def _book_time(self) -> None:
        now = time.perf_counter()
        elapsed = now - self._lap
        if self.budget.seconds is not None:
            elapsed = self.sharding.agreed(elapsed)  # all ranks must reach a mark, and the end, at the same step
        self.ledger.spend_time(elapsed)
        self._lap = now

    def _look_at_ledger(self) -> None:
        marks = self.ledger.marks_passed
        phase_over = self.ledger.current.exhausted
        self.at_mark = marks > self._marks or phase_over
        if self.at_mark or self._records_passed() > self._records:
            self._flush_records()
        if self.at_mark:
            self._marks = marks
            self._batch_unchecked = True
            self.strategy.deploy(self.oracle)
            self._check_model()
        if not self.trainer.fast_dev_run:
            self.trainer.val_check_batch = 1 if self.at_mark else NEVER
        if self.ledger.exhausted or 0 < self.trainer.max_steps <= self.trainer.global_step:
            self.trainer.should_stop = True

    def _check_batch(self, batch: Batch) -> None:
        self._batch_unchecked = False
        if not self.sharding.same(part for part in batch if isinstance(part, Tensor)):
            raise DataError(
                "The ranks see different batches, so that losses do not compare: give the Trainer the settings "
                "**Trial.trainer_settings, and use data that is shuffled alike everywhere, such as a TensorDataModule."
            )

    def _check_model(self) -> None:
        if not self.sharding.same(part for part in self.model.state_dict().values() if isinstance(part, Tensor)):
            raise ConfigError(
                f"The ranks have come to different weights after {self.ledger.forwards} forwards: set "
                "trainer.deterministic=true, or trainer.devices=1."
            )

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


class Averages:
    """Weighted means of scalars by name; they stay on their device until they are taken."""

    def __init__(self) -> None:
        self._sums: dict[str, Any] = {}
        self._weights: dict[str, float] = {}

    def add(self, values: Mapping[str, float | Tensor], weight: float = 1) -> None:
        for name, value in values.items():
            value = value.detach() if isinstance(value, Tensor) else value
            self._sums[name] = self._sums.get(name, 0.0) + weight * value
            self._weights[name] = self._weights.get(name, 0) + weight

    def state_dict(self) -> dict[str, Any]:
        return {
            "sums": {name: float(total) for name, total in self._sums.items()},
            "weights": dict(self._weights),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums, self._weights = dict(state["sums"]), dict(state["weights"])

    def take(self) -> Values:
        """The means, and start anew."""
        means = {name: float(total) / self._weights[name] for name, total in self._sums.items()}
        self._sums, self._weights = {}, {}
        return means


def check_compatible(
    objective: Objective, strategy: Strategy, encoding: Encoding | None, spec: DataSpec | None
) -> None:
    """Refuse what cannot work together, before anything trains.

    Raises:
        ConfigError: in a sentence that says what to choose instead.
    """
    first_order = strategy.requires & {"gradient", "jvp"}
    zeroth_order = strategy.requires & {"losses", "outputs"}
    names = {"objective": type(objective).__name__, "strategy": type(strategy).__name__}
    if first_order and not objective.differentiable:
        raise ConfigError(
            "The strategy {strategy} needs a gradient and the objective {objective} has none: choose a strategy that "
            "works on losses, such as strategy=openai_es, or a differentiable objective, such as "
            "objective=cross_entropy.".format(**names)
        )
    if strategy.requires & {"jacobian", "features"} and type(objective).outputs is not Objective.outputs:
        raise ConfigError(
            f"The strategy {names['strategy']} learns from one pass of the network, and the objective "
            f"{names['objective']} makes something else of it: choose a strategy that works on losses, such as "
            "strategy=openai_es."
        )
    if not zeroth_order and encoding is not None and not isinstance(encoding, Direct):
        raise ConfigError(
            f"The strategy {names['strategy']} trains the parameters themselves and would ignore the encoding "
            f"{type(encoding).__name__}: leave it at encoding=direct, or choose a search, such as strategy=openai_es."
        )
    if spec is not None and objective.tasks is not None and spec.task not in objective.tasks:
        usual = {"regression": ", such as objective=mse", "classification": ", such as objective=cross_entropy"}
        raise ConfigError(
            f"The objective {names['objective']} is made for {' or '.join(sorted(objective.tasks))}, but the data set "
            f"is a {spec.task} problem: choose another objective{usual.get(spec.task, '')}."
        )
