"""neat-python's side: exact states, private random numbers, and the bounds that hybridopt sets."""

import copy
import math
import pickle
import random
import threading
from io import BytesIO

import pytest
import torch
from hybridopt_neat.library import ExactReproduction

SMALL = {"popsize": 20, "node_add_prob": 0.5}


def through_a_checkpoint(state):
    file = BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def same(one, other):
    one, other = dict(one), dict(other)
    numbers, others = one.pop("random"), other.pop("random")
    return one == other and torch.equal(numbers["numbers"], others["numbers"]) and numbers["gauss"] == others["gauss"]


@pytest.mark.parametrize("generations", [0, 1, 7, 30])
@pytest.mark.parametrize("settings", [{}, {"elitism": 0, "max_stagnation": 2, "species_elitism": 0}])
def test_a_loaded_evolution_goes_on_as_if_nothing_had_happened(evolve, advance, generations, settings):
    _, whole = evolve(generations, **SMALL, **settings)
    _, parts = evolve(3, seed=9, **SMALL, **settings)
    parts.load(through_a_checkpoint(whole.state()))
    assert same(whole.state(), parts.state())
    for step in range(10):
        advance(whole, 1, step)
        advance(parts, 1, step)
        assert same(whole.state(), parts.state())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda evolution: pickle.loads(pickle.dumps(evolution))])
def test_a_copy_goes_its_own_way_and_the_same(evolve, advance, copied):
    _, evolution = evolve(5, **SMALL)
    before = evolution.state()
    other = copied(evolution)
    assert same(before, evolution.state())  # neat-python's own pickling moves its counters
    advance(other, 5)
    assert same(before, evolution.state())
    advance(evolution, 5)
    assert same(other.state(), evolution.state())


def test_the_seed_fixes_everything_and_the_global_generator_nothing(evolve):
    random.seed(1)
    _, one = evolve(8, seed=3, **SMALL)
    random.seed(2)
    before = random.getstate()
    _, two = evolve(8, seed=3, **SMALL)
    assert random.getstate() == before
    assert same(one.state(), two.state())
    _, three = evolve(8, seed=4, **SMALL)
    assert not same(one.state(), three.state())


def test_another_thread_may_draw_meanwhile(evolve):
    _, alone = evolve(15, seed=3, **SMALL)
    done = threading.Event()

    def draw():
        while not done.is_set():
            random.random()

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        _, accompanied = evolve(15, seed=3, **SMALL)
    finally:
        done.set()
        thread.join()
    assert same(alone.state(), accompanied.state())


def test_genomes_grow_to_the_bound_and_not_beyond(evolve):
    _, evolution = evolve(20, model={"max_hidden": 3}, popsize=20, node_add_prob=1.0, node_delete_prob=0.0)
    assert max(len(genome.nodes) for genome in evolution.population.values()) == 2 + 3
    assert evolution.declined > 0
    assert len(evolution.layout.vectors([evolution.phenotype(g) for g in evolution.population.values()])) == 20


def test_species_are_no_more_than_the_population_can_feed(evolve):
    _, evolution = evolve(popsize=12, compatibility_threshold=0.0)
    assert len(evolution.species.species) == 12  # each genome is a species of its own, and two elites each are too many
    evolution.advance([float(key) for key in evolution.members])
    assert len(evolution.population) == 12
    fittest = sorted(evolution.population)[:6]
    assert fittest == [1, 2, 3, 4, 5, 6]  # what the surplus ended were the least fit


@pytest.mark.parametrize("seed", range(5))
def test_many_species_share_the_population_exactly(evolve, seed):
    settings = {"popsize": 20, "compatibility_threshold": 1.2, "initial_connection": "partial_direct", "num_hidden": 2}
    _, evolution = evolve(8, seed, **settings)
    assert len(evolution.population) == 20
    assert all(len(species.members) >= 1 for species in evolution.species.species.values())


@pytest.mark.parametrize(
    ("fitness", "sizes"), [([0.1] * 10, [2] * 9 + [2]), ([1.0, *[0.0] * 8], [40, *[1] * 8]), ([0.0, 0.0], [18, 2])]
)
def test_offspring_add_up(fitness, sizes):
    spawn = ExactReproduction.compute_spawn(fitness, sizes, 20, 2)
    assert sum(spawn) <= 20  # neat-python fills up what is missing
    assert min(spawn) >= 2


def test_after_an_extinction_there_is_a_new_population(evolve, advance):
    _, evolution = evolve(popsize=10, species_elitism=0, max_stagnation=1)
    evolution.advance([0.0] * 10)
    for _ in range(3):
        evolution.advance([1.0] * len(evolution.members))
    assert evolution.extinctions >= 1
    assert len(evolution.population) == 10
    assert evolution.champion.key <= 10  # it survives outside of the population, and is still evaluated
    assert len(evolution.members) == 11
    advance(evolution, 3)


@pytest.mark.parametrize("failed", [1, 10, 19, 20])
def test_failures_are_the_least_fit(evolve, advance, failed):
    _, evolution = evolve(**SMALL)
    keys = list(evolution.members)
    evolution.advance([math.inf] * failed + [1.0] * (20 - failed))
    advance(evolution, 2)
    assert len(evolution.population) == 20
    if failed < 20:
        assert evolution.champion.key in keys[failed:] or evolution.champion.key > 20


def test_the_champion_is_who_was_best_on_the_last_batch_it_met(evolve):
    _, evolution = evolve(elitism=0, **SMALL)
    evolution.advance([0.5] * 19 + [0.1])
    champion = evolution.champion
    assert champion.key == 20
    evolution.advance([0.9] * 20 + [0.9])  # a harder batch: a tie, the champion stays
    assert evolution.champion is champion
    newcomer = next(iter(evolution.population))
    evolution.advance([0.8] + [0.9] * 20)  # beaten on the same batch
    assert evolution.champion.key == newcomer


def test_what_the_outputs_do_not_depend_on_is_not_expressed(evolve):
    _, evolution = evolve(30, popsize=30, node_add_prob=0.5, conn_delete_prob=0.6)
    for genome in evolution.population.values():
        network = evolution.phenotype(genome)
        expressed = {gene.key for gene in network.nodes}
        assert {0, 1} <= expressed <= genome.nodes.keys()
        assert all(target in expressed for _, target in (gene.key for gene in network.links))
        assert all(gene.enabled for gene in network.links)


def test_the_topology_in_a_line(evolve):
    _, evolution = evolve(popsize=2, initial_connection="full_direct", elitism=0, min_species_size=1)
    network = evolution.phenotype(evolution.population[1])
    assert network.arrows(2) == "x2>y0 x2>y1 x1>y0 x1>y1 x0>y0 x0>y1"
    assert network.hidden(2) == 0
