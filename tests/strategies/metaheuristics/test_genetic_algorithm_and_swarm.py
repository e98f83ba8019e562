"""Populations that live on: what is inherited, who leads, and what a new batch changes."""

from __future__ import annotations

import pytest
import torch

from hybridopt.composition import building
from hybridopt.errors import ConfigError


def searching(name: str, d: int = 6, **settings: object):
    search = building.build("strategy", {"name": name, **settings})
    search.generator = torch.Generator().manual_seed(0)
    search.start(torch.zeros(d))
    return search


def test_the_elite_lives_on_unchanged() -> None:
    search = searching("genetic_algorithm", popsize=20, elite=3)
    population = search.ask().clone()
    losses = population.square().sum(dim=1)
    search.tell(population, losses)
    best = population[losses.argsort()[:3]]
    assert torch.equal(search.ask()[:3], best)
    assert torch.equal(search.recommend(), best[0])


def test_without_mutation_to_speak_of_a_childs_weights_are_its_parents() -> None:
    search = searching("genetic_algorithm", popsize=30, elite=0, truncation=0.2, crossover=1.0, sigma=1e-6)
    population = torch.randn(30, 6)
    search.tell(population, population.square().sum(dim=1))
    parents = population[population.square().sum(dim=1).argsort()[:6]]
    distance = (search.ask()[:, None] - parents[None]).abs().min(dim=1).values
    assert float(distance.max()) < 1e-4


def test_averaged_losses_remember_the_parents() -> None:
    search = searching("genetic_algorithm", popsize=10, elite=10, averaging=0.25)
    search.tell(search.ask(), torch.arange(10.0))
    search.tell(search.ask(), torch.full((10,), 100.0))
    assert torch.allclose(search.inherited.sort().values, 0.75 * torch.arange(10.0) + 25)


def test_a_new_batch_evaluates_best_places_again() -> None:
    search = searching("particle_swarm", popsize=5)
    search.move = 0
    assert len(search.ask()) == 5  # the first places are the best ones
    search.tell(search.ask(), torch.arange(5.0))
    search.move = 1
    assert len(search.ask()) == 5
    search.tell(search.ask(), torch.full((5,), 9.0))
    search.move = 0
    search.tell(search.ask(), torch.cat([torch.full((5,), 50.0), torch.full((5,), 60.0)]))
    assert torch.equal(search.best_losses, torch.full((5,), 50.0))  # what was good on another batch is forgotten


def test_on_a_ring_the_neighbours_lead() -> None:
    search = searching("particle_swarm", popsize=4, topology="lbest", d=1)
    search.best_places = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    search.best_losses = torch.tensor([5.0, 1.0, 7.0, 3.0])
    assert search._leaders()[:, 0].tolist() == [1.0, 1.0, 1.0, 3.0]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"name": "genetic_algorithm", "truncation": 0.0}, r"strategy.truncation must lie in \(0, 1\], but is 0"),
        ({"name": "genetic_algorithm", "popsize": 1}, "strategy.popsize must be at least 2"),
        ({"name": "particle_swarm", "topology": "star"}, "must be one of gbest, lbest"),
        ({"name": "particle_swarm", "inertia": 2.0}, r"strategy.inertia must lie in \[0, 1\]"),
        ({"name": "particle_swarm", "sigma": -1.0}, "strategy.sigma must be a positive number"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        building.build("strategy", settings)
