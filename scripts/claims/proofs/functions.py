"""Test functions of global optimisation, by the oracle as any job has it, and by hand for other packages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from hybridopt import Batch, Budget, DataSpec, Objective, Oracle
from hybridopt.composition import building
from hybridopt.core.ledger import Ledger
from hybridopt.testing.by_hand import begin

Function = Callable[[Tensor], Tensor]  # (n, d) -> (n,)
BATCH: Batch = (torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64))


def sphere(x: Tensor) -> Tensor:
    return x.square().sum(dim=1)


def ellipsoid(x: Tensor) -> Tensor:
    """A million times steeper in one direction than in another."""
    return (torch.logspace(0, 6, x.shape[1], dtype=x.dtype) * x.square()).sum(dim=1)


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[:, 1:] - x[:, :-1].square()).square() + (1 - x[:, :-1]).square()).sum(dim=1)


def rastrigin(x: Tensor) -> Tensor:
    return (x.square() - 10 * torch.cos(2 * math.pi * x) + 10).sum(dim=1)


def ackley(x: Tensor) -> Tensor:
    wide = torch.exp(-0.2 * x.square().mean(dim=1).sqrt())
    return 20 + math.e - 20 * wide - torch.exp(torch.cos(2 * math.pi * x).mean(dim=1))


def griewank(x: Tensor) -> Tensor:
    index = torch.arange(1, x.shape[1] + 1, dtype=x.dtype)
    return x.square().sum(dim=1) / 4000 - torch.cos(x / index.sqrt()).prod(dim=1) + 1


FUNCTIONS: dict[str, Function] = {f.__name__: f for f in (sphere, ellipsoid, rosenbrock, rastrigin, ackley, griewank)}


class Place(nn.Module):
    """A network that is a vector: whatever comes in, (1, d) goes out."""

    def __init__(self, x0: Tensor):
        super().__init__()
        self.x = nn.Parameter(x0.clone())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.x + 0 * inputs


class Value(Objective):
    """The value of a function, where the network stands."""

    def __init__(self, function: Function):
        super().__init__()
        self.function = function

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.function(outputs[:, 0])

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.function(outputs)[0]

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return MetricCollection({})


def start(d: int, seed: int, width: float = 2.0) -> Tensor:
    """A start (d,) that is no more than so far from the origin in any coordinate; float64."""
    return width * (2 * torch.rand(d, generator=torch.Generator().manual_seed(1000 + seed), dtype=torch.float64) - 1)


def minimise(strategy: Mapping[str, Any], function: Function, x0: Tensor, losses: int, seed: int) -> float:
    """The best of what a strategy recommends within so many losses, each of which is exact.

    Args:
        strategy: its config.
        function: (n, d) -> (n,).
        x0: (d,).
        losses: the budget.
        seed: of all draws.
    """
    built = building.build("strategy", dict(strategy))
    generator = torch.Generator().manual_seed(seed)
    oracle = Oracle(Place(x0), Value(function), Ledger(Budget(evaluations=losses)), generator, chunk=1024)
    oracle.feed.unchanged = True
    begin(built, oracle, BATCH)
    while not (oracle.exhausted or built.finished()):
        built.step(oracle, BATCH)
    z = built.recommend()
    return float(function((oracle.point if z is None else z)[None])[0])
