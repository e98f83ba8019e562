"""Test functions of global optimisation, and searches on them by the oracle as any job has it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from hybridopt.composition import building
from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.objective import Batch, Objective
from hybridopt.core.oracle import Oracle
from hybridopt.core.spec import DataSpec
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


def branin(x: Tensor) -> Tensor:
    """Three equal minima of 0.397887 for x1 in [-5, 10] and x2 in [0, 15]; of two dimensions."""
    bowl = x[:, 1] - 5.1 / (4 * math.pi**2) * x[:, 0].square() + 5 / math.pi * x[:, 0] - 6
    return bowl.square() + 10 * (1 - 1 / (8 * math.pi)) * x[:, 0].cos() + 10


FUNCTIONS: dict[str, Function] = {f.__name__: f for f in (sphere, ellipsoid, rosenbrock, rastrigin, ackley, griewank)}


class Recorded:
    """A function that keeps what it was asked.

    Args:
        function: (n, d) -> (n,).
    """

    def __init__(self, function: Function):
        self.function = function
        self.values: list[float] = []
        self.best = math.inf
        self.where: Tensor | None = None  # (d,) of the best, None before the first

    def __call__(self, x: Tensor) -> Tensor:
        values = self.function(x)
        kept = values.detach()
        lowest = kept.nan_to_num(math.inf).argmin()
        if self.where is None or float(kept[lowest]) < self.best:
            self.best, self.where = float(kept[lowest]), x[lowest].detach().clone()
        self.values += kept.tolist()
        return values

    def best_after(self, counts: Sequence[int]) -> list[float]:
        """The lowest value among the first so many, for each count; the last one where there are fewer.

        Args:
            counts: each at least 1.

        Raises:
            ValueError: nothing was asked.
        """
        if not self.values:
            raise ValueError("Nothing was asked of the function.")
        lowest = list(itertools.accumulate((math.inf if math.isnan(value) else value for value in self.values), min))
        return [lowest[min(count, len(lowest)) - 1] for count in counts]


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
    """The value of what a strategy recommends after so many losses, each of which is exact.

    Args:
        strategy: its config.
        function: (n, d) -> (n,).
        x0: (d,).
        losses: the budget.
        seed: of all draws.
    """
    return float(function(searched(strategy, function, x0, losses, seed)[None])[0])


def searched(
    strategy: Mapping[str, Any], function: Function, x0: Tensor, losses: int, seed: int, patience: int | None = None
) -> Tensor:
    """What a strategy recommends (d,) after so many losses, each of which is exact.

    Args:
        strategy: its config.
        function: (n, d) -> (n,).
        x0: (d,).
        losses: the budget.
        seed: of all draws.
        patience: steps without a value that is lower than all before, by a thousandth of it, after which it
            ends early; None never does.
    """
    built, seen = building.build("strategy", dict(strategy)), Recorded(function)
    generator = torch.Generator().manual_seed(seed)
    oracle = Oracle(Place(x0), Value(seen), Ledger(Budget(evaluations=losses)), generator, chunk=1024)
    oracle.feed.unchanged = True
    begin(built, oracle, BATCH)
    lowest, idle = math.inf, 0
    while not (oracle.exhausted or built.finished() or idle == patience):
        built.step(oracle, BATCH)
        lower = seen.best < lowest - max(1e-3 * abs(lowest), 1e-12) if math.isfinite(lowest) else True
        lowest, idle = (seen.best, 0) if lower else (lowest, idle + 1)
    z = built.recommend()
    return (oracle.point if z is None else z).detach()
