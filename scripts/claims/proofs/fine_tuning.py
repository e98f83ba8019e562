"""Descendants of MeZO against MeZO: a network that Adam has trained, fine-tuned to a shifted task at equal forwards.

The network 64-32-10 learns digits by Adam; the new task is the same digits moved by a pixel down and right. Either
method is run with a third, the whole and three times of its step size, and its best is what counts. None has a
schedule, so that the curves tell how many forwards a loss takes.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from hybridopt import Budget, Oracle
from hybridopt.composition import building
from hybridopt.core.ledger import Ledger
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.testing.by_hand import begin, deploy
from proofs import Finding, proves, spread

LOSSES = 1000  # that a run may ask for, on one batch each
Batch = tuple[Tensor, Tensor]


@cache
def digits() -> tuple[Batch, Batch, Batch]:
    """Digits to train on; the shifted ones to train on, and to test on."""
    data = building.build("dataset", {"name": "digits"})
    train, test = data.sets["train"], data.sets["test"]
    return train, shifted(train), shifted(test)


def shifted(batch: Batch) -> Batch:
    """Images a pixel further down and right."""
    return batch[0].view(-1, 8, 8).roll((1, 1), (1, 2)).view_as(batch[0]), batch[1]


@cache
def pretrained(seed: int) -> nn.Module:
    """The network 64-32-10 after two thousand steps of Adam on digits."""
    (x, y), _, _ = digits()
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for batch in stream((x, y), 64, seed, 2000):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()
    return model


def stream(data: Batch, size: int, seed: int, batches: int = 10**9) -> Iterator[Batch]:
    """Random batches."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(batches):
        rows = torch.randint(len(data[0]), (size,), generator=generator)
        yield data[0][rows], data[1][rows]


def tuned(settings: dict[str, Any], seed: int, size: int) -> float:
    """The test loss after fine-tuning on batches of this size."""
    _, train, test = digits()
    model = copy.deepcopy(pretrained(seed))
    oracle = Oracle(model, CrossEntropy(), Ledger(Budget(forwards=LOSSES * size)), torch.Generator().manual_seed(seed))
    batches = stream(train, size, seed)
    strategy = begin(building.build("strategy", dict(settings)), oracle, next(batches))
    while not oracle.exhausted:
        strategy.step(oracle, next(batches))
    deploy(strategy, oracle)
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(test[0]), test[1]))


@cache
def best(name: str, seeds: int, size: int) -> list[float]:
    """Test losses by seed, with the best of three step sizes by the median."""
    settings = {"name": name, "schedule": "constant"}
    strategy = building.build("strategy", settings)
    sizes = [name for name in ("lr", "anchor_lr") if hasattr(strategy, name)]
    scaled = [{name: factor * getattr(strategy, name) for name in sizes} for factor in (1 / 3, 1.0, 3.0)]
    found = [[tuned({**settings, **lrs}, seed, size) for seed in range(seeds)] for lrs in scaled]
    return min(found, key=statistics.median)


def beats_mezo(name: str, size: int, claim: str) -> Callable[[int], Iterator[Finding]]:
    """An experiment: does it end at a lower loss than MeZO?"""

    @proves(name)
    def proof(seeds: int) -> Iterator[Finding]:
        own, mezo = (best(each, seeds, size) for each in (name, "mezo"))
        untouched = statistics.median(untuned(seed) for seed in range(seeds))
        said = f"test loss {spread(own)}, mezo {spread(mezo)}, {untouched:.3g} before"
        yield Finding(claim, said, statistics.median(own) < statistics.median(mezo), LOSSES * size)

    return proof


def untuned(seed: int) -> float:
    """The pretrained network's test loss on the new task."""
    _, _, (x, y) = digits()
    with torch.no_grad():
        return float(nn.functional.cross_entropy(pretrained(seed)(x), y))


@proves("hizoo")
def uneven(seeds: int) -> Iterator[Finding]:
    """A quadratic in 20 dimensions, curved from 0.1 to 100, by 30,000 losses."""
    curvature, ends = torch.logspace(-1, 2, 20), {}
    for name in ("hizoo", "mezo"):
        ends[name] = [descended(name, curvature, seed) for seed in range(seeds)]
    said = ", ".join(f"{name} {spread(values)}" for name, values in ends.items())
    claim = "on a quadratic of condition 1000 in 20 dimensions, it ends ten times below mezo after as many losses"
    yield Finding(claim, said, 10 * statistics.median(ends["hizoo"]) < statistics.median(ends["mezo"]), 30_000)


def descended(name: str, curvature: Tensor, seed: int) -> float:
    """The loss after 30,000 losses from a random place."""
    search = building.build("strategy", {"name": name, "schedule": "constant"} | QUADRATIC[name])
    search.generator, search.horizon = torch.Generator().manual_seed(seed), 30_000
    search.start(torch.randn(len(curvature), generator=search.generator))
    search.first_tell(probes := search.first_ask(), values(probes.materialize(), curvature))
    asked = len(probes)
    while asked < 30_000:
        population = search.ask()
        search.tell(population, values(population.materialize(), curvature))
        asked += len(population)
    return float(values(search.recommend()[None], curvature))


QUADRATIC = {"hizoo": {"smoothing": 0.01}, "mezo": {}}


def values(x: Tensor, curvature: Tensor) -> Tensor:
    """sum of curvature x^2 / 2, of members (n, d)."""
    return (curvature * x**2).sum(1) / 2


WHERE = "fine-tuned to shifted digits, it ends below mezo at equal forwards"
beats_mezo("lozo", 64, WHERE)
beats_mezo("hizoo", 64, WHERE)
beats_mezo("zo_muon", 64, WHERE)
beats_mezo("adamezo", 64, WHERE)
beats_mezo("mezo_svrg", 8, f"on batches of eight samples, {WHERE}")
