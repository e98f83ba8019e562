"""A network that is nothing but its weights, whose loss is a sphere and whose measures are two of its weights."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor, nn

from hybridopt import Budget, Ledger, Objective, Oracle, Strategy
from hybridopt.composition import building
from hybridopt.testing.by_hand import begin

NAMES = ["map_elites", "cma_me", "cma_mae", "cma_mega"]
DIMENSION, ROWS = 6, 3
MEASURES = {"x": {"name": "mean_output", "index": 0}, "y": {"name": "mean_output", "index": 1}}
RANGES = {"x": [-2.0, 2.0], "y": [-2.0, 2.0]}
BATCH = (torch.zeros(ROWS, 1, dtype=torch.float64), torch.zeros(ROWS, DIMENSION, dtype=torch.float64))


class Point(nn.Module):
    """Its outputs are its weights, whatever the inputs."""

    def __init__(self, start: Tensor):
        super().__init__()
        self.weight = nn.Parameter(start.clone())

    def forward(self, inputs: Tensor) -> Tensor:
        return (1.0 * self.weight).expand(len(inputs), -1)


def start() -> Tensor:
    return torch.full((DIMENSION,), 0.5, dtype=torch.float64)


def build(name: str, **settings: Any) -> Strategy:
    return building.build("strategy", {"name": name, "measures": MEASURES, "ranges": RANGES, **settings})


def oracle_of(seed: int = 0, repeats: bool = True, objective: Objective | None = None) -> Oracle:
    objective = objective or building.build("objective", {"name": "mse"})
    ledger, generator = Ledger(Budget(forwards=1e9)), torch.Generator().manual_seed(seed)
    oracle = Oracle(Point(start()), objective, ledger, generator)
    oracle.feed.unchanged = repeats
    return oracle


def begun(name: str, oracle: Oracle, batch: Any = BATCH, **settings: Any) -> Any:
    return begin(build(name, **settings), oracle, batch)


def saved(strategy: Strategy) -> dict[str, Any]:
    """The state as a checkpoint brings it back: through a file that holds tensors and plain values only."""
    file = io.BytesIO()
    torch.save(strategy.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)
