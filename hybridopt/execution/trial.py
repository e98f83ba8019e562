"""One network, one strategy, one budget, as a LightningModule."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, ClassVar

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from hybridopt.core.compatibility import check_compatible
from hybridopt.core.encoding import Direct, Encoding
from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.objective import Batch, Objective
from hybridopt.core.oracle import Oracle
from hybridopt.core.spec import DataSpec
from hybridopt.core.strategy import Strategy
from hybridopt.core.stream import ENDLESS
from hybridopt.engine.randomness import PrivateRng, derived_seed
from hybridopt.engine.sharding import Sharding, SingleProcess
from hybridopt.errors import ConfigError
from hybridopt.execution.continuation import restore, saved
from hybridopt.execution.evaluation import Evaluation, best
from hybridopt.execution.fastpath import repeats
from hybridopt.execution.feeding import as_batch, calibration, make_endless, peek
from hybridopt.execution.front import front_of
from hybridopt.execution.inspection import inspect
from hybridopt.execution.ranks import check_batch, check_model, join
from hybridopt.execution.recommendation import Recommendation
from hybridopt.execution.records import Records
from hybridopt.execution.steps import Steps

STRATEGY, GLOBAL = 0, 1  # streams of random numbers that one seed fixes

Values = dict[str, float]


class Trial(LightningModule):
    """Trains a model by a strategy until the budget is spent; strategies are to it what optimisers are to others.

    It fits into anybody's script: ``Trainer(**Trial.trainer_settings).fit(Trial(...), datamodule=...)``.
    Validation runs at the marks of the budget, with the parameters that the strategy recommends then; loggers get
    their values at ``step`` = forwards spent.

    Under Lightning's DDP every rank sees every batch, draws every population and does every tell; only the evaluation
    of the members is shared out. The ranks agree bit for bit (this is checked at the marks), and the members are those
    of one process. First-order calls are repeated on every rank and charged once: no faster than one process, but
    slicing the batch would train something else wherever a network has batch normalisation or dropout.

    Class attributes:
        trainer_settings: what a Trainer needs to know: one endless epoch, validation when the trial says so (callbacks
            such as EarlyStopping would wait for the end of Lightning's own interval), the same batches on all ranks.

    Attributes:
        sharding: how populations are shared out; known from ``setup`` on.

    Args:
        model: the network.
        objective: what is minimised, and the metrics.
        strategy: what trains.
        budget: what may be spent.
        encoding: how search vectors become parameters; the parameters themselves if None.
        seed: fixes all that the strategy draws.
        mode: as of :class:`~hybridopt.core.oracle.Oracle`.
        chunk: as of :class:`~hybridopt.core.oracle.Oracle`.
        dropout: as of :class:`~hybridopt.core.oracle.Oracle`.
        batch_statistics: as of :class:`~hybridopt.core.oracle.Oracle`.
        precision: as of :class:`~hybridopt.core.oracle.Oracle`.
        graph: as of :class:`~hybridopt.core.oracle.Oracle`.
        spec: the shape of the data; if None, the datamodule's ``spec``, or what a batch and the network's outputs tell.

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
        precision: str = "float32",
        graph: str = "none",
        spec: DataSpec | None = None,
    ):
        super().__init__()
        check_compatible(objective, strategy, encoding, spec, precision)
        self.automatic_optimization = False
        self.model, self.objective, self.strategy = model, objective, strategy
        self.encoding = encoding or Direct()
        self.budget, self.seed, self.spec = budget, seed, spec
        self._engine = {"mode": mode, "chunk": chunk, "dropout": dropout, "batch_statistics": batch_statistics}
        self._engine |= {"precision": precision, "graph": graph}
        self.ledger = Ledger(budget)
        self.sharding: Sharding = SingleProcess()
        self.curve: list[tuple[int, Values]] = []  # (forwards, validation metrics), the last mark last
        self.phase_ends: dict[str, Values] = {}
        self.tested: Values = {}
        self.at_mark = self.begun = self._loaded = self._seen = self._checked = False
        self.records, self.front = Records(self.ledger), front_of(objective)

    # -- Lightning's hooks -------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        device = self.trainer.strategy.root_device
        self.to(device)
        if stage == "fit":
            make_endless(self.trainer, self.seed)
        self.spec = self.spec or getattr(self.trainer.datamodule, "spec", None)  # pyright: ignore[reportAttributeAccessIssue]
        if not self._seen and stage == "fit" and (batch := peek(self.trainer)) is not None:
            self.look_at(batch)
        if self.spec is None:
            raise ConfigError("The shape of the data is unknown: give Trial a spec, or the Trainer a DataModule.")
        self._evaluation = Evaluation(self.model, self.objective, self.spec, device)
        if self.trainer.world_size > 1:
            self.sharding = join(self.trainer, self.model, self._evaluation.metrics, device)
        if stage == "fit":
            check_compatible(self.objective, self.strategy, self.encoding, self.spec)
            self._start(device)

    def look_at(self, batch: Batch, name: str | None = None) -> None:
        """Run the network on a sample, see :mod:`hybridopt.execution.inspection`.

        Args:
            batch: of training.
            name: of the network, for sentences; its class if None.
        """
        name = name or f"The model {type(self.model).__name__}"
        self.spec, self._seen = inspect(self.model, self.objective, batch, self.spec, name), True

    @property
    def _ddp_params_and_buffers_to_ignore(self) -> list[str]:
        """For DDP, which is to average the model's gradients alone: it would broadcast all buffers at each step."""
        parameters = [name for name, _ in self.named_parameters() if not name.startswith("model.")]
        return parameters + [name for name, _ in self.named_buffers()]

    def _start(self, device: torch.device) -> None:
        self.global_stream = PrivateRng(derived_seed(self.seed, GLOBAL), device)
        generator = torch.Generator(device).manual_seed(derived_seed(self.seed, STRATEGY))
        self.oracle = Oracle(
            *(self.model, self.objective, self.ledger, generator),
            encoding=self.encoding,
            backward=lambda loss: self._steps.optimization.backward(loss),
            update=lambda optimizer, closure: self._steps.optimization.update(optimizer, closure),
            sharding=self.sharding,
            in_place=self.strategy.in_place,
            **self._engine,
        )
        estimate, batches = self._engine["batch_statistics"], calibration(self.trainer, self.model)
        self.recommendation = Recommendation(self.oracle, self.strategy, estimate, batches)
        self.oracle.feed.directions = self.directions
        self.strategy.attach(self.oracle)

    def configure_optimizers(self) -> list[torch.optim.Optimizer] | None:
        return self.strategy.optimizers() or None

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, ...) -> outputs (B, output_size)."""
        return self.model(inputs)

    def on_train_start(self) -> None:
        if self._loaded:
            self.strategy.attach(self.oracle)
        if self.front is not None and not self.begun:
            self.front.begin(self.oracle)
        self.oracle.feed.unchanged, self.oracle.feed.curve = repeats(self.trainer), self.curve
        self._steps = Steps(self)

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> int | None:
        if self.ledger.exhausted or (self.begun and self.strategy.finished()):
            return -1  # resumed from the last checkpoint: nothing is left to train
        if self.at_mark or not self._checked:
            self._checked = True
            check_batch(self.sharding, as_batch(batch))
        return None

    def training_step(self, batch: Batch, batch_index: int) -> None:
        with self.global_stream.active():
            self._steps.window(batch)

    def on_validation_start(self) -> None:
        self._evaluation.reset()
        if self.begun and self.trainer.state.fn == "fit":
            self.recommendation.put(self.recommended)
            check_model(self.sharding, self.model, self.ledger.forwards)
            if self.front is not None:
                self.front.open(self.oracle, self.strategy)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._evaluation.update(as_batch(batch))
        if self.front is not None:
            self.front.update(as_batch(batch))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        values = self._evaluation.values("val")
        if self.trainer.state.fn != "fit" or self.trainer.sanity_checking:
            # All ranks have equal values, of which max is an exact mean.
            self.log_dict(values, logger=False, prog_bar=False, reduce_fx="max", sync_dist=True)
            return
        # For callbacks such as EarlyStopping; log_dict would take a quarter of all that a mark takes.
        values |= {} if self.front is None else self.front.validated(self.ledger.forwards)
        self.trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})
        self.curve.append((self.ledger.forwards, values))
        for path in self.ledger.paths:
            self.phase_ends[path] = values
        self.report(values | best(self.curve, self.directions) | self.records.costs())

    def on_validation_end(self) -> None:
        """Put the training weights back, once callbacks have kept what they want of the recommendation."""
        if self.trainer.state.fn == "fit":
            self.recommendation.take()
            self._steps.restart_clock()

    def on_train_end(self) -> None:
        self.recommendation.stay(self.recommended)

    @property
    def directions(self) -> dict[str, bool | None]:
        """Of each metric of validation: whether higher is better, None where neither is; known from ``setup`` on."""
        return self._evaluation.directions | ({} if self.front is None else self.front.directions())

    @property
    def recommended(self) -> Tensor | None:
        """What the strategy recommends now (d,), in the oracle's coordinates; None for the model as it stands."""
        return self.strategy.recommend() if self.begun else None

    def recommending(self) -> AbstractContextManager[None]:
        """Inside, the model has the parameters that the strategy recommends; afterwards those of training."""
        return self.oracle.standing_in(self.recommended)

    def on_test_start(self) -> None:
        self._evaluation.reset()
        if self.front is not None and self.front.marks:
            self.front.open(self.oracle, None)

    def on_test_epoch_end(self) -> None:
        self.tested = self._evaluation.values("test")
        if self.front is not None and self.front.marks:
            self.tested |= self.front.tests()
        self.report(self.tested)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["hybridopt"] = saved(self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._trainer is None or self.trainer.state.fn != "fit":
            return  # to validate or test what was recommended: the network is all that it takes
        self._loaded = True
        restore(self, checkpoint)

    def report(self, values: Values) -> None:
        """Give loggers values by name, at the forwards that are spent."""
        for logger in self.loggers:
            logger.log_metrics(dict(values), step=self.ledger.forwards)
