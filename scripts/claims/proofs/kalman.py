"""Ensembles: how many members, networks of steps, and what a filter is compared with."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import torch
from torch import nn

from hybridopt import Budget, Oracle
from hybridopt.composition import building
from hybridopt.core.ledger import Ledger
from hybridopt.datasets.digits import digits
from hybridopt.testing.by_hand import begin, deploy
from proofs import Finding, accuracies, proves
from proofs.jobs import command, test_accuracies


@proves("ensemble_kalman_inversion")
def members(seeds: int) -> Iterator[Finding]:
    """In as many steps, so that the larger ensemble costs ten times as much."""
    base = ["strategy=ensemble_kalman_inversion", "strategy.redraw_every=0"]
    few, many = ([*base, f"strategy.ensemble={count}", f"budget.forwards={count * 20_000}"] for count in (50, 500))
    found = [test_accuracies(given, seeds) for given in (few, many)]
    gain = statistics.median(found[1]) - statistics.median(found[0])
    claim = "without redraws, in the span of its ensemble and in as many steps, 500 members end 8 points above 50"
    said = f"{accuracies(found[0])} with 50 members, {accuracies(found[1])} with 500"
    yield Finding(claim, said, gain > 0.08, 1e7, command(many, seeds))


@proves("ensemble_kalman_inversion")
def steps(seeds: int) -> Iterator[Finding]:
    given = ["strategy=ensemble_kalman_inversion", "model=heaviside_mlp"]
    given += [
        "dataset.batch_size=64",
        "dataset.val_fraction=0.02",
    ]  # as many training samples as the claim was found with
    found = test_accuracies(given, seeds)
    claim = "a network of 64 steps, which has no gradient, is trained to 0.95 on digits"
    yield Finding(claim, accuracies(found), statistics.median(found) >= 0.95, 1e7, command(given, seeds))


@proves("ensemble_kalman_filter")
def bad_start(seeds: int) -> Iterator[Finding]:
    """Weights N(0, 1) in a network of sigmoids: one epoch of gradient descent says little, sixty say more."""
    found = {epochs: [from_bad_start("sgd", epochs, seed) for seed in range(seeds)] for epochs in (1, 10, 60)}
    filtered = [from_bad_start("ensemble_kalman_filter", 1, seed) for seed in range(seeds)]
    said = "; ".join(f"sgd after {epochs} epochs {accuracies(values)}" for epochs, values in found.items())
    claim = "from weights N(0, 1) the filter beats gradient descent after one epoch of both, and not after sixty"
    holds = statistics.median(found[1]) < statistics.median(filtered) < statistics.median(found[60])
    yield Finding(claim, f"filter after one {accuracies(filtered)}; {said}", holds)


def from_bad_start(name: str, epochs: int, seed: int) -> float:
    """Validation accuracy of a network 64-32-32-10 of sigmoids, all of whose weights were drawn from N(0, 1)."""
    data = digits(batch_size=64)
    data.setup("fit")
    torch.manual_seed(seed)
    layers = [nn.Flatten(), nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 32), nn.Sigmoid(), nn.Linear(32, 10)]
    model = nn.Sequential(*layers)
    with torch.no_grad():
        for value in model.parameters():
            value.normal_()
    settings = {
        "sgd": {"schedule": "constant"},
        "ensemble_kalman_filter": {"sigma": 1.0, "ensemble": 1000, "repetitions": 4, "gamma": 0.1},
    }[name]
    strategy = building.build("strategy", {"name": name, **settings})
    objective = building.build("objective", {"name": "cross_entropy"})
    oracle = Oracle(model, objective, Ledger(Budget(forwards=1e12)), torch.Generator().manual_seed(seed))
    inputs, targets = data.sets["train"]
    begin(strategy, oracle, (inputs[:64], targets[:64]))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for part in torch.randperm(len(inputs), generator=generator).split(64):
            strategy.step(oracle, (inputs[part], targets[part]))
    deploy(strategy, oracle)
    x, y = data.sets["val"]
    with torch.no_grad():
        return float((model(x).argmax(1) == y).float().mean())
