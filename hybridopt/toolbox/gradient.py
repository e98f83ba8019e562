"""Descent by an optimiser of torch, one step a batch, with a learning-rate schedule over the budget."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.toolbox.ranges import at_least, positive
from hybridopt.toolbox.schedule import Decay, Schedule

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


class GradientStrategy(Strategy):
    """What moves by a torch optimiser: the model's own parameters or, in an encoding, the search vector.

    In the direct encoding gradients are taken in training mode, with dropout on and batch statistics learned. In
    another one they are taken as populations are evaluated: in evaluation mode, unless ``oracle.dropout`` or
    ``oracle.batch_statistics`` say otherwise.

    Attributes:
        optimizer: known from ``attach`` on.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"gradient"})
    optimizer: torch.optim.Optimizer

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("z", None)  # (d,), the search vector, where an encoding stands between

    @abstractmethod
    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser."""

    def attach(self, oracle: Oracle) -> None:
        parameters = self._moved(oracle)
        if hasattr(self, "optimizer") and moves(self.optimizer, parameters):
            return
        self.optimizer = self.build(parameters)
        self._fresh = copy.deepcopy(self.optimizer.state_dict())  # some optimisers keep state in their groups

    def _moved(self, oracle: Oracle) -> list[nn.Parameter]:
        """The model's own parameters, or the search vector."""
        if oracle.direct:
            self.z = None
            return list(oracle.parameters().values())
        if self.z is None or len(self.z) != oracle.dimension:
            self.z = nn.Parameter(next(oracle.model.parameters()).new_zeros(oracle.dimension))
        return [self.z]

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.optimizer.load_state_dict(copy.deepcopy(self._fresh))
        if self.z is not None:
            self.z.data = oracle.start

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.optimizer]

    def recommend(self) -> Tensor | None:
        return None if self.z is None else self.z.detach()

    def slope(self, oracle: Oracle, batch: Batch) -> Tensor:
        """The loss (a scalar) where the strategy is; fills the ``.grad`` of what it moves."""
        if self.z is None:
            return oracle.gradient(batch)
        losses, slopes = oracle.gradients(self.z.detach()[None], batch)
        self.z.grad = slopes[0].to(self.z)
        return losses[0]


def draws(model: nn.Module) -> bool:
    """Whether a pass in training mode is random: by dropout, as a layer or inside of one."""
    layers = (module for module in model.modules() if isinstance(module, DROPOUTS))
    inside = (getattr(module, "dropout", 0.0) for module in model.modules())
    return any(layer.p > 0 for layer in layers) or any(isinstance(rate, float) and rate > 0 for rate in inside)


def moves(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> bool:
    """Whether an optimiser moves these very parameters, and no others."""
    own = [value for group in optimizer.param_groups for value in group["params"]]
    return [id(value) for value in own] == [id(value) for value in parameters]


class GradientDescent(GradientStrategy):
    """What gradient methods have in common; a subclass says which optimiser, and may change gradients before its step.

    Args:
        lr: the learning rate at the start.
        schedule: how it goes to ``final_lr`` times itself over the budget.
        final_lr: the last learning rate as a share of the first.
        max_norm: the length to which a longer gradient is cut before the step (Pascanu et al. 2013,
            https://arxiv.org/abs/1211.5063); None leaves it as it is.

    Raises:
        ConfigError: there is no such schedule, or a number is out of range.
    """

    def __init__(
        self, lr: float, schedule: Schedule = "constant", final_lr: float = 0.0, max_norm: float | None = None
    ):
        super().__init__()
        at_least("strategy", 0, lr=lr)
        positive("strategy", max_norm=max_norm)
        self.lr, self.schedule, self.max_norm = lr, Decay(schedule, final_lr), max_norm

    @abstractmethod
    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser, at ``self.lr``; from it are the groups whose learning rate is set before each step."""

    def first_rate(self) -> float:
        """The learning rate at the start."""
        return self.lr

    def adjust(self, oracle: Oracle, progress: float) -> None:
        """Called between the gradient and the update: may change what is in ``.grad``, or the optimiser's settings.

        Args:
            oracle: the one that was attached.
            progress: the share of the budget that was spent before this step.
        """
        return

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        progress = oracle.progress
        rate = self.first_rate() * self.schedule(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.slope(oracle, batch)
        if self.max_norm is not None:
            moved = [value for group in self.optimizer.param_groups for value in group["params"]]
            nn.utils.clip_grad_norm_(moved, self.max_norm)
        self.adjust(oracle, progress)
        oracle.update(self.optimizer)
        return {"loss": loss, "lr": rate}
