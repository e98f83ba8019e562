"""Descent by an optimiser of torch, one step a batch, with a learning-rate schedule over the budget."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import nn

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.errors import ConfigError
from hybridopt.toolbox.schedule import Schedule, factor


class GradientDescent(Strategy):
    """What gradient methods have in common; a subclass says which optimiser, and may change gradients before its step.

    Args:
        lr: the learning rate at the start.
        schedule: how it goes to ``final_lr`` times itself over the budget.
        final_lr: the last learning rate as a share of the first.

    Raises:
        ConfigError: there is no such schedule, or the learning rate is negative.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"gradient"})

    def __init__(self, lr: float, schedule: Schedule = "constant", final_lr: float = 0.0):
        super().__init__()
        if not lr >= 0:
            raise ConfigError(f"strategy.lr must not be negative, but is {lr:g}.")
        factor(schedule, 0.5, final_lr)  # refuses what is no schedule
        self.lr, self.schedule, self.final_lr = lr, schedule, final_lr
        self.optimizer: torch.optim.Optimizer | None = None

    @abstractmethod
    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser, at ``self.lr``; from it are the groups whose learning rate is set before each step."""

    def adjust(self, oracle: Oracle, progress: float) -> None:
        """Called between the gradient and the update: may change what is in ``.grad``, or the optimiser's settings.

        Args:
            oracle: the door.
            progress: the share of the budget that was spent before this step.
        """
        return

    def setup(self, oracle: Oracle) -> None:
        """Nothing to make: the optimiser is built when the Trainer asks for it, or else before the first step."""

    def optimizers(self, module: nn.Module) -> list[torch.optim.Optimizer]:
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.optimizer = self.build(parameters)
        return [self.optimizer]

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        if self.optimizer is None:
            self.optimizers(oracle.model)
        progress = oracle.progress
        rate = self.lr * factor(self.schedule, progress, self.final_lr)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = oracle.gradient(batch)
        self.adjust(oracle, progress)
        oracle.update(self.optimizer)
        return {"loss": loss, "lr": rate}
