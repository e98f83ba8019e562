"""Estimates of the gradient: unbiased on quadratics, and aligned with it as the law says, whatever the noise."""

from __future__ import annotations

import math

import pytest
import torch
from small_problems import begin
from torch import Tensor, nn

from hybridopt import Budget, Oracle
from hybridopt.composition import building
from hybridopt.core.ledger import Ledger

SHAPES = {"W": torch.Size((6, 5)), "b": torch.Size((6,))}
D = 36


def quadratic() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    factor = torch.randn(D, D, generator=generator)
    return factor @ factor.T / D, torch.randn(D, generator=generator)


def estimate(name: str, pairs: int, generator: torch.Generator, A: Tensor, x: Tensor) -> Tensor:
    """One strategy's estimate of A x, the gradient of x A x / 2, read off the step that it takes."""
    settings = {"samples": pairs, "epsilon": 0.1, "lr": 1.0, "schedule": "constant"}
    if name != "mezo":
        noise = name.partition(" ")[2]
        settings = {"popsize": 2 * pairs, "sigma": 0.1, "shaping": "none"} | ({"noise": noise} if noise else {})
    search = building.build("strategy", {"name": name.partition(" ")[0], **settings})
    search.generator, search.shapes = generator, SHAPES
    search.start(x.clone())
    population = search.ask()
    dense = population if isinstance(population, Tensor) else population.materialize()
    losses = ((dense @ A) * dense).sum(1) / 2
    if name != "mezo":
        search.adam.step = lambda gradient, rate: -gradient
        search.adam.part_of_step = lambda part, gradient, rate: -gradient
    search.tell(population, losses)
    return x - search.recommend()


@pytest.mark.parametrize("name", ["openai_es dense", "openai_es seeded", "openai_es table", "eggroll", "mezo"])
def test_the_expectation_is_the_gradient(name: str) -> None:
    """Within five standard errors in every coordinate: a false alarm in one of 10^5 runs; seeds are fixed."""
    A, x = quadratic()
    generator = torch.Generator().manual_seed(3)
    samples = torch.stack([estimate(name, 50, generator, A, x) for _ in range(400)])
    error = samples.std(0) / math.sqrt(len(samples))
    assert ((samples.mean(0) - A @ x).abs() < 5 * error).all()
    assert error.max() < 0.2 * (A @ x).abs().max()


@pytest.mark.parametrize("name", ["openai_es dense", "openai_es seeded", "openai_es table", "mezo"])
@pytest.mark.parametrize("pairs", [16, 128])
def test_the_alignment_law_on_a_real_network(name: str, pairs: int) -> None:
    """cos(estimate, gradient) = sqrt(m / (m + d)) for m mirrored pairs (methods: Salimans 2017; Zhang et al. 2017)."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 10))
    objective = building.build("objective", {"name": "cross_entropy"})
    oracle = Oracle(model, objective, Ledger(Budget(forwards=1e12)), torch.Generator().manual_seed(5))
    batch = torch.randn(64, 64), torch.randint(10, (64,))
    oracle.gradient(batch)
    gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    cosines = [cosine_of_step(name, pairs, oracle, batch, gradient) for _ in range(20)]
    law = math.sqrt(pairs / (pairs + len(gradient)))
    assert torch.tensor(cosines).mean().item() == pytest.approx(law, rel=0.15)


def cosine_of_step(name: str, pairs: int, oracle: Oracle, batch: tuple[Tensor, Tensor], gradient: Tensor) -> float:
    name, _, noise = name.partition(" ")
    settings = {"popsize": 2 * pairs, "sigma": 1e-2, "shaping": "none", "noise": noise}
    if name == "mezo":
        settings = {"samples": pairs, "epsilon": 1e-2}
    search = building.build("strategy", {"name": name, **settings})
    start = oracle.start.clone()
    begin(search, oracle, batch)
    population = search.ask()
    losses = oracle.losses(population, batch)
    if name == "mezo":
        search.tell(population, losses)
        step = start - search.recommend()
    elif noise == "seeded":
        assert population.table is not None  # the windows overlap, and the law holds all the same
        step = torch.cat([part for _, part in population.weighted_noise(search._weights(losses))])
    else:
        step = search.estimate(search._noise, losses)
    return torch.cosine_similarity(step, gradient, dim=0).item()
