"""Descent on scores of weights that never change: what is learned is which of them are used."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.engine.weights import weights_of
from hybridopt.toolbox.ranges import positive, share
from hybridopt.toolbox.schedule import Decay, Schedule

Init = Literal["signed_constant", "model"]

POINTS = ("improves_on_sphere", "improves_on_noisy_quadratic")
NO_MOVE = "It uses a weight as it is, or not at all, which does not bring a point to where the minimum is."


class FrozenWeights(Encoding):
    """Factors of weights that never change: parameters are z times the weights, and 0 where there is no weight.

    Weights are the parameters with two or more dimensions; the others are zero, as in the papers, whose networks have
    none.

    Args:
        init: "model" keeps the weights as the model has them; "signed_constant" makes all of a layer equally large.

    Raises:
        ConfigError: the model has no weight.
    """

    weights: Tensor  # (d,)

    def __init__(self, init: Init):
        super().__init__()
        self.init: Init = init

    def attach(self, parameters: Mapping[str, Tensor]) -> int:
        weights = weights_of(parameters)
        self.layout = ParameterLayout.of(weights)
        self.rest = {name: value.shape for name, value in parameters.items() if name not in weights}
        return self.layout.dimension

    def begin(self, parameters: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        frozen = {name: frozen_weight(parameters[name].detach(), self.init) for name in self.layout.shapes}
        self.register_buffer("weights", self.layout.flatten(frozen))
        return torch.ones_like(self.weights)

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        rest = {name: z.new_zeros(len(z), *shape) for name, shape in self.rest.items()}
        return rest | self.layout.unflatten(z * self.weights)


def frozen_weight(value: Tensor, init: Init) -> Tensor:
    """The weight that is never trained: as it is, or its signs times the standard deviation of Kaiming's start."""
    if init == "model":
        return value
    return value.sign() * (2 / value[0].numel()) ** 0.5


class MaskTraining(Strategy):
    """Weights stay frozen; their scores go down the gradient by the mask (straight-through).

    Args:
        init: of :class:`FrozenWeights`.
        lr, momentum, weight_decay, schedule, final_lr: of the descent on the scores.

    Raises:
        ConfigError: a number is out of range.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"gradient", "direct"})
    hands_over: ClassVar[frozenset[str]] = frozenset({"mask"})
    conformance: ClassVar[dict] = {"expected_failures": dict.fromkeys(POINTS, NO_MOVE)}
    scores: Tensor  # (d,), of the weights
    velocity: Tensor  # (d,)

    def __init__(
        self, init: Init, lr: float, momentum: float, weight_decay: float, schedule: Schedule, final_lr: float
    ):
        super().__init__()
        positive("strategy", lr=lr)
        share("strategy", "[0, 1)", momentum=momentum)
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.schedule = Decay(schedule, final_lr)
        self.frozen = FrozenWeights(init)

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

    @property
    def layout(self) -> ParameterLayout:
        """Where each weight lies in scores and masks."""
        return self.frozen.layout

    def attach(self, oracle: Oracle) -> None:
        self._oracle, self._view = oracle, oracle.encoded(self.frozen)

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        used = self._view.start  # the encoding keeps the weights, all of which are used
        self.register_buffer("scores", self.first_scores(self.frozen.weights * used, oracle))
        self.register_buffer("velocity", torch.zeros_like(self.scores))

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        rate = self.lr * self.schedule(oracle.progress)
        losses, slopes = self._view.gradients(self.draw(oracle)[None], batch)
        change = self.slope(slopes[0].to(self.scores)) + self.weight_decay * self.scores
        self.velocity = self.momentum * self.velocity + change
        self.scores = self.scores - rate * self.velocity
        return {"loss": losses[0], "lr": rate}

    def recommend(self) -> Tensor:
        return self._oracle.vector_of(self._view, self.mask())

    def handover(self) -> Handover:
        return Handover(mask={name: kept.bool() for name, kept in self.layout.named(self.mask()).items()})
