"""Extreme learning machine (Huang, Zhu & Siew 2006), https://doi.org/10.1016/j.neucom.2005.12.126.

Hidden layers are random and stay so; the last layer is a ridge regression on what they make of the inputs. The idea is
older: random vector functional links (Pao, Park & Sobajic 1994, https://doi.org/10.1016/0925-2312(94)90053-1) see the
inputs as well, here with ``model=random_features model.direct_link=true``. Batches are added up, which gives the
solution on all data seen, as recursive least squares does (Liang et al. 2006,
https://doi.org/10.1109/TNN.2006.880583).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.engine.randomness import normal
from hybridopt.errors import ConfigError
from hybridopt.toolbox.ranges import at_least, positive

NO_HEAD = "It solves the last linear layer, and this network has none."
WITHOUT_HEAD = ("improves_on_sphere", "improves_on_noisy_quadratic", "dimension_of_one")


class ExtremeLearningMachine(Strategy):
    """Random hidden layers, and a last layer in closed form, by ridge regression on targets of +1 and -1.

    Good for small data and an answer in a second; a baseline that is hard to beat on tables.

    One pass over the data is enough; what comes later only confirms it. A budget of as many forwards as there are
    training samples is a good one.

    Args:
        scale: the hidden weights are redrawn, with this standard deviation over the root of the layer's inputs; 0
            keeps the network's own.
        ridge: coefficient of the L2 penalty, per sample.

    Raises:
        ConfigError: a number is out of range, or the network does not end in a linear layer.
    """

    showcase: ClassVar[tuple[str, ...]] = ("model=random_features", "budget.forwards=1200")
    requires: ClassVar[frozenset[str]] = frozenset({"activations", "direct"})
    search_space: ClassVar[dict[str, str]] = {
        "scale": "tag(log, interval(0.3, 5.0))",
        "ridge": "tag(log, interval(1e-7, 1e-1))",
    }
    conformance: ClassVar[dict] = {"expected_failures": dict.fromkeys(WITHOUT_HEAD, NO_HEAD)}
    theta: Tensor  # (d,), before the last layer is solved
    gram: Tensor  # (h + 1, h + 1), of the last layer's inputs and 1, float64
    cross: Tensor  # (h + 1, C), of these and the targets, float64
    samples: Tensor  # a whole number, seen so far

    def __init__(self, scale: float = 1.0, ridge: float = 1e-3):
        super().__init__()
        at_least("strategy", 0, scale=scale)
        positive("strategy", ridge=ridge)
        self.scale, self.ridge = scale, ridge

    def attach(self, oracle: Oracle) -> None:
        head = head_of(oracle)
        if head is None:
            raise ConfigError(
                "extreme_learning_machine solves the last linear layer of a network, and this one does not end in one "
                "that is trained: choose another model, such as model=mlp."
            )
        self._layout, self._head = ParameterLayout.of(oracle.parameters()), head

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        own: dict[str, Tensor] = dict(oracle.parameters())
        for name, value in own.items():
            if not name.startswith(f"{self._head}.") and self.scale > 0:
                own[name] = self._drawn(value, oracle)
        outputs, inputs = own[f"{self._head}.weight"].shape
        self.register_buffer("theta", self._layout.flatten(own))
        self.register_buffer("gram", self.theta.new_zeros(inputs + 1, inputs + 1, dtype=torch.float64))
        self.register_buffer("cross", self.theta.new_zeros(inputs + 1, outputs, dtype=torch.float64))
        self.register_buffer("samples", torch.zeros((), dtype=torch.int64))

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        oracle.assign(self.recommend())
        seen = oracle.activations(self._head, batch)
        features, outputs = seen.inputs, seen.answer
        if outputs.shape != seen.outputs.shape or not torch.equal(outputs, seen.outputs):
            raise ConfigError(
                f"The network does not end in its layer {self._head}, which a closed form needs: choose another model, "
                "such as model=mlp."
            )
        ones = torch.ones_like(features[:, :1])
        h = torch.cat([features, ones], dim=1).double()
        targets = signed(batch[1], outputs).double()
        self.gram = self.gram + h.T @ h
        self.cross = self.cross + h.T @ targets
        self.samples = self.samples + len(h)
        return {"loss": oracle.objective.loss(outputs, batch[1])}

    def recommend(self) -> Tensor:
        return self._solved() if self.samples > 0 else self.theta

    def _solved(self) -> Tensor:
        """The parameters with the last layer at the ridge solution (G + ridge N I)^-1 C; the offset is not shrunk."""
        penalty = self.ridge * float(self.samples) * torch.ones(len(self.gram)).to(self.gram)
        penalty[-1] = 1e-9 * float(self.samples)
        solution = torch.linalg.solve(self.gram + penalty.diag(), self.cross).to(self.theta)
        own = self._layout.named(self.theta)
        own[f"{self._head}.weight"] = solution[:-1].T
        if f"{self._head}.bias" in own:
            own[f"{self._head}.bias"] = solution[-1]
        return self._layout.flatten(own)

    def _drawn(self, value: Tensor, oracle: Oracle) -> Tensor:
        """Weights N(0, scale^2 / inputs), offsets likewise, as of a layer with one input."""
        inputs = value[0].numel() if value.ndim > 1 else 1
        return self.scale / math.sqrt(inputs) * normal(value.shape, value, oracle.generator)


def head_of(oracle: Oracle) -> str | None:
    """The name of the linear layer that comes last among the trained ones; None where there is none."""
    own = oracle.parameters()
    layers = [name for name, part in oracle.model.named_modules() if isinstance(part, nn.Linear)]
    return next((name for name in reversed(layers) if f"{name}.weight" in own), None)


def signed(targets: Tensor, outputs: Tensor) -> Tensor:
    """Classes (B,) as +1 and -1 (B, C); values stay as they are."""
    if targets.is_floating_point():
        return targets.reshape(outputs.shape)
    return 2.0 * F.one_hot(targets, outputs.shape[1]).to(outputs) - 1
