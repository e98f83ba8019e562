"""Deep GA, differential evolution, PBIL: genomes that travel, populations that adapt, bits."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from small_problems import make_strategy

from hybridopt.core.search import Search
from hybridopt.errors import ConfigError


def search(name: str, x0: torch.Tensor, **settings: object) -> Search:
    found = make_strategy(name, **settings)
    found.generator, found.horizon = torch.Generator().manual_seed(0), 10_000
    found.start(x0)
    return found


def run(search: Search, loss, generations: int) -> torch.Tensor:
    for generation in range(generations):
        search.progress, search.move = generation / generations, generation % search.moves_per_step
        population = search.ask()
        search.tell(population, loss(population))
    return search.recommend()


# -- Deep GA ----------------------------------------------------------------------------------------------------------

DECODER = """
import json, sys, torch
from hybridopt.strategies.metaheuristics.deep_ga import decode
seeds, sigmas, d = json.loads(sys.argv[1])
sys.stdout.write(decode(torch.ones(d), seeds, sigmas).numpy().tobytes().hex())
"""


def test_a_genome_is_the_same_vector_to_the_last_bit_in_another_process() -> None:
    ga = search("deep_ga", torch.ones(50), popsize=20, parents=5)
    run(ga, lambda x: (x**2).sum(1), 15)
    genome = f"[{ga.seeds[1].tolist()}, {ga.sigmas[1].tolist()}, 50]"
    done = subprocess.run([sys.executable, "-c", DECODER, genome], check=True, capture_output=True, text=True)
    assert done.stdout == ga._parents()[1].numpy().tobytes().hex()


def test_a_genome_grows_by_one_seed_a_generation() -> None:
    ga = search("deep_ga", torch.ones(4), popsize=10, parents=3)
    for generations in (1, 2, 3):
        run(ga, lambda x: (x**2).sum(1), 1)
        assert ga.seeds.shape == (3, generations)


def test_the_elite_is_never_lost() -> None:
    ga = search("deep_ga", torch.ones(6), popsize=20, parents=5)
    losses = [float((run(ga, lambda x: (x**2).sum(1), 1) ** 2).sum()) for _ in range(30)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[0]


# -- differential evolution -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "below"),
    [
        (lambda x: (x**2).sum(1), 1e-6),
        (lambda x: (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1), 1e-2),
    ],
    ids=["sphere", "rosenbrock"],
)
def test_differential_evolution_solves(loss, below: float) -> None:
    de = search("differential_evolution", torch.full((5,), 2.0), sigma=1.0)
    assert float(loss(run(de, loss, 400)[None])) < below


def test_the_population_shrinks_to_its_last_size() -> None:
    de = search("differential_evolution", torch.ones(3), popsize=30, final_popsize=6)
    run(de, lambda x: (x**2).sum(1), 60)
    assert len(de.members) == len(de.losses) == pytest.approx(6, abs=1)
    assert len(de.lost) <= round(2.6 * 30)


def test_it_remembers_what_worked() -> None:
    de = search("differential_evolution", torch.ones(8))
    run(de, lambda x: (x**2).sum(1), 50)
    assert not torch.equal(de.rates, torch.full((6,), 0.5))
    assert bool(((de.factors > 0) & (de.factors <= 1) & (de.rates >= 0) & (de.rates <= 1)).all())


def test_members_are_evaluated_again_on_a_new_batch() -> None:
    de = search("differential_evolution", torch.ones(2), popsize=8, final_popsize=8, moves_per_step=2)
    counts = []
    for move in (0, 1, 0, 1):
        de.move = move
        population = de.ask()
        counts.append(len(population))
        de.tell(population, (population**2).sum(1))
    assert counts == [8, 8, 16, 8]  # the first generation; children; members again, and children; children


# -- PBIL -------------------------------------------------------------------------------------------------------------


def test_pbil_solves_onemax() -> None:
    pbil = search("pbil", torch.zeros(40))
    found = run(pbil, lambda x: (x < 0).float().sum(1), 100)
    assert bool((found > 0).all())


def test_probabilities_keep_their_margin() -> None:
    pbil = search("pbil", torch.zeros(3), lr=0.9, margin=0.05)
    run(pbil, lambda x: x.sum(1), 50)
    assert float(pbil.p.min()) == pytest.approx(0.05)


def test_failures_teach_it_nothing() -> None:
    pbil = search("pbil", torch.zeros(3))
    run(pbil, lambda x: torch.full((len(x),), torch.inf), 5)
    assert pbil.p.tolist() == [0.5] * 3


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("deep_ga", {"parents": 0}, "strategy.parents must be at least 1, but is 0."),
        ("differential_evolution", {"popsize": 3}, "strategy.popsize must be at least 4, but is 3."),
        ("pbil", {"lr": 2.0}, "strategy.lr must lie in (0, 1], but is 2."),
    ],
)
def test_numbers_out_of_range_are_refused(name: str, settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_strategy(name, **settings)
    assert str(caught.value).startswith(sentence)
