"""Descent on scores of weights that never change: what is learned is which of them are used."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.engine.parameters import ParameterLayout, gradients
from hybridopt.errors import ConfigError
from hybridopt.toolbox.schedule import Schedule, factor

POINTS = ("improves_on_sphere", "improves_on_noisy_quadratic")
NO_MOVE = "It uses a weight as it is, or not at all, which does not bring a point to where the minimum is."


class MaskTraining(Strategy):
    """Weights stay frozen; their scores go down the gradient by the effective weight, times the weight.

    The gradient by the mask is that by the weight it multiplies, times the weight's value (straight-through). Weights
    are the parameters with two or more dimensions; the others are zero, as in the papers, whose networks have none.

    Args:
        init: "model" keeps the weights as the model has them; "signed_constant" makes all of a layer equally large.
        lr, momentum, weight_decay, schedule, final_lr: of the descent on the scores.

    Raises:
        ConfigError: a number is out of range, or the model has no weight to mask.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"gradient"})
    conformance: ClassVar[dict] = {"expected_failures": dict.fromkeys(POINTS, NO_MOVE)}

    def __init__(self, init: str, lr: float, momentum: float, weight_decay: float, schedule: Schedule, final_lr: float):
        super().__init__()
        if not lr > 0:
            raise ConfigError(f"strategy.lr must be positive, but is {lr:g}.")
        if not 0 <= momentum < 1:
            raise ConfigError(f"strategy.momentum must lie in [0, 1), but is {momentum:g}.")
        factor(schedule, 0.5, final_lr)  # refuses what is no schedule
        self.init, self.lr, self.momentum, self.weight_decay = init, lr, momentum, weight_decay
        self.schedule, self.final_lr = schedule, final_lr

    @abstractmethod
    def first_scores(self, weights: Tensor, oracle: Oracle) -> Tensor:
        """Scores (d,) of the weights (d,) at the start."""

    @abstractmethod
    def draw(self, oracle: Oracle) -> Tensor:
        """The mask (d,), 0 or 1, of this step."""

    @abstractmethod
    def mask(self) -> Tensor:
        """The mask (d,), 0 or 1, that is recommended."""

    @abstractmethod
    def slope(self, gradient: Tensor) -> Tensor:
        """The loss's gradient by the scores, from that by the mask; both (d,)."""

    def setup(self, oracle: Oracle) -> None:
        own = oracle.parameters()
        self.layout = ParameterLayout.of(own)
        weights = {name: value.detach() for name, value in own.items() if value.ndim >= 2}
        if not weights:
            raise ConfigError(
                "A mask needs weights of two or more dimensions, and the model has none: choose another model, such "
                "as model=mlp."
            )
        self.parts = ParameterLayout.of(weights)
        frozen = {name: frozen_weight(value, self.init) for name, value in weights.items()}
        self.register_buffer("weights", self.parts.flatten(frozen))
        self.register_buffer("scores", self.first_scores(self.weights, oracle))
        self.register_buffer("velocity", torch.zeros_like(self.scores))

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        rate = self.lr * factor(self.schedule, oracle.progress, self.final_lr)
        self._assign(oracle, self.draw(oracle))
        loss = oracle.gradient(batch)
        gradient = self.parts.flatten(gradients(oracle.parameters()))
        change = self.slope(gradient * self.weights) + self.weight_decay * self.scores
        self.velocity = self.momentum * self.velocity + change
        self.scores = self.scores - rate * self.velocity
        return {"loss": loss, "lr": rate}

    def deploy(self, oracle: Oracle) -> None:
        self._assign(oracle, self.mask())

    def _assign(self, oracle: Oracle, mask: Tensor) -> None:
        values = self.parts.named(self.weights * mask)
        rest = {name: torch.zeros_like(value) for name, value in oracle.parameters().items() if name not in values}
        oracle.assign(self.layout.flatten({**rest, **values}))


def frozen_weight(value: Tensor, init: str) -> Tensor:
    """The weight that is never trained: as it is, or its signs times the standard deviation of Kaiming's start."""
    if init == "model":
        return value
    return value.sign() * (2 / value[0].numel()) ** 0.5
