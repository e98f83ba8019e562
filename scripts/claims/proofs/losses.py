"""Losses without a gradient, and smooth ones in their place: outliers that mislead a convex loss."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hybridopt import Budget, Oracle
from hybridopt.composition import building
from hybridopt.core.ledger import Ledger
from hybridopt.testing.by_hand import begin, deploy
from proofs import Finding, proves, spread


def outliers(seed: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Two classes in ten dimensions; a tenth of the training labels are wrong, far out. (training, test)."""
    generator = torch.Generator().manual_seed(seed)
    slope = torch.randn(10, generator=generator)
    x, clean = (torch.randn(count, 10, generator=generator) for count in (300, 5000))
    y, truth = ((values @ slope > 0).long() for values in (x, clean))
    flipped = torch.randperm(300, generator=generator)[:30]
    x[flipped] = 30 * x[flipped]
    y[flipped] = 1 - (x[flipped] @ slope > 0).long()
    return (x, y), (clean, truth)


def error(strategy: dict, objective: dict, seed: int) -> float:
    """The share of clean test samples that a linear classifier gets wrong."""
    batch, (inputs, targets) = outliers(seed)
    torch.manual_seed(seed)
    model = nn.Linear(10, 2)
    built = building.build("strategy", strategy)
    oracle = Oracle(
        model,
        building.build("objective", objective),
        Ledger(Budget(forwards=300 * 5000)),
        torch.Generator().manual_seed(seed),
    )
    begin(built, oracle, batch)
    while not oracle.exhausted:
        built.step(oracle, batch)
    deploy(built, oracle)
    with torch.no_grad():
        return float((model(inputs).argmax(1) != targets).float().mean())


@proves("zero_one", "sigmoid_zero_one")
def misled(seeds: int) -> Iterator[Finding]:
    runs = {
        "cross-entropy by adam": ({"name": "adam"}, {"name": "cross_entropy"}),
        "zero-one by snes": ({"name": "snes", "sigma": 0.3}, {"name": "zero_one"}),
        "zero-one by cem": ({"name": "cem"}, {"name": "zero_one"}),
        "sigmoid of the margin by adam": ({"name": "adam", "lr": 0.03}, {"name": "sigmoid_zero_one"}),
    }
    found = {name: [error(*parts, seed) for seed in range(seeds)] for name, parts in runs.items()}
    medians = {name: statistics.median(values) for name, values in found.items()}
    convex = medians["cross-entropy by adam"]
    said = "; ".join(f"{name} {spread(values)}" for name, values in found.items())
    claim = "where outliers mislead a convex loss, zero-one by a search errs less, and so does a smooth stand-in"
    holds = max(medians["zero-one by cem"], medians["sigmoid of the margin by adam"]) < 0.5 * convex
    yield Finding(claim, f"test error: {said}", holds, 300 * 5000)
