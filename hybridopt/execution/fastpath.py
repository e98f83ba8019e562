"""Ways around Lightning that give the same numbers: small steps cost less than what surrounds them."""

from __future__ import annotations

from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.core.hooks import DataHooks
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.plugins import Precision
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from hybridopt.core.stream import BatchStream
from hybridopt.core.view import Closure

TRANSFERS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
GRADIENT_HOOKS = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")


def may_batch_steps(trainer: Trainer) -> bool:
    """Whether several batches may pass in one of the Trainer's steps.

    Not if they must be moved, or agreed on by several ranks; nor if Lightning counts them, or a callback does.
    """
    stream = trainer.train_dataloader
    counted = trainer.fast_dev_run or trainer.limit_train_batches != 1.0 or trainer.world_size > 1  # pyright: ignore[reportAttributeAccessIssue]
    watched = any(
        is_overridden(hook, callback, parent=Callback)
        for callback in trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        if not getattr(callback, "skips_batches", False)
        for hook in ("on_train_batch_start", "on_train_batch_end")
    )
    return isinstance(stream, BatchStream) and stream.on_device and not (counted or watched or transforms(trainer))


def repeats(trainer: Trainer) -> bool:
    """Whether each batch of training is the one before."""
    stream = trainer.train_dataloader
    return isinstance(stream, BatchStream) and stream.unchanged and not transforms(trainer)


def transforms(trainer: Trainer) -> bool:
    """Whether the data module does something to batches on their way."""
    data = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    return data is not None and any(is_overridden(hook, data, parent=DataHooks) for hook in TRANSFERS)


def goes_direct(trial: LightningModule, trainer: Trainer) -> bool:
    """Whether backward passes and updates need nothing of Lightning: one device, full precision, no listeners.

    Its ways there cost as much as the backward pass of a small network.
    """
    plain = type(trainer.precision_plugin) is Precision and type(trainer.strategy) is SingleDeviceStrategy
    listeners = [(trial, LightningModule), *((callback, Callback) for callback in trainer.callbacks)]  # pyright: ignore[reportAttributeAccessIssue]
    heard = (is_overridden(hook, who, parent=parent) for who, parent in listeners for hook in GRADIENT_HOOKS)
    return plain and not any(heard)


class Optimization:
    """Backward passes and updates of a trial: by Lightning, unless there is nothing for it to know.

    Args:
        trial: at the start of training, when its optimisers are wrapped.
    """

    def __init__(self, trial: LightningModule):
        self.trial = trial
        wrapped = trial.optimizers()
        self._wrapped = wrapped if isinstance(wrapped, list) else [wrapped]
        self._direct = goes_direct(trial, trial.trainer)
        self._ranks = trial.trainer.world_size if trial.device.type != "cpu" else 1
        wrapper = trial.trainer.model
        self._ddp = wrapper if isinstance(wrapper, DistributedDataParallel) else None
        self._model = {id(value) for value in cast(Any, trial).model.parameters()}

    def backward(self, loss: Tensor) -> None:
        """Fill ``.grad``: on each rank from the same batch, so that nothing has to be averaged, or waited for."""
        if self._ddp is not None:
            self._ddp.require_backward_grad_sync = False  # which Lightning sets again after each step
        loss.backward() if self._direct else self.trial.manual_backward(loss)
        if self._ranks > 1:  # kernels of a GPU may differ in the last digits, and ranks must not
            for value in cast(Any, self.trial).model.parameters():
                if value.grad is not None:
                    distributed.all_reduce(value.grad)
                    value.grad /= self._ranks

    def update(self, optimizer: torch.optim.Optimizer, closure: Closure | None = None) -> None:
        """One step; Lightning counts it in any case."""
        wrapped = next((candidate for candidate in self._wrapped if candidate.optimizer is optimizer), None)
        direct = self._direct or not self._moves_model(optimizer)
        if wrapped is None or direct:
            optimizer.step(cast(Any, closure))
        if wrapped is not None:
            self._count(wrapped) if direct else wrapped.step(closure)

    def _moves_model(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether it moves the network's own parameters, whose gradients have passed :meth:`backward`."""
        return any(id(value) in self._model for group in optimizer.param_groups for value in group["params"])

    def count_step(self) -> None:
        """Let Lightning count a step of a strategy that has no optimiser."""
        self._count(self._wrapped[0])

    @staticmethod
    def _count(optimizer: LightningOptimizer) -> None:
        """What a wrapped optimiser tells Lightning around its step."""
        optimizer._on_before_step()
        optimizer._on_after_step()
