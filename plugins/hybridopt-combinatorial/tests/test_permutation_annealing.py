"""Annealing over permutations: moves are moves, losses are what they change, and the walk is Metropolis'."""

from __future__ import annotations

import math

import pytest
import torch
from hybridopt_combinatorial.permutation_annealing import MOVES, PermutationAnnealing
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridopt import Budget, ConfigError, Ledger, Oracle, Trial
from hybridopt.composition import building
from hybridopt.encodings.subspace import Subspace
from hybridopt.testing.by_hand import begin

OBJECTIVES = {"tsp": "tour_length", "flow_shop": "makespan", "knapsack": "packed_value"}


def problem(name="tsp", forwards=1e6, encoding=None, seed=0, **config):
    """An oracle, and its batch."""
    data = building.build("dataset", {"name": name, "time_limit": 0, **config})
    objective = building.build("objective", {"name": OBJECTIVES[name]}, spec=data.spec)
    torch.manual_seed(seed)
    model = building.build("model", {"name": "solution"}, spec=data.spec)
    generator = torch.Generator().manual_seed(seed)
    oracle = Oracle(model, objective, Ledger(Budget(forwards=forwards)), generator, encoding=encoding)
    return oracle, data.sets["train"]


def ready(oracle, batch, **settings):
    """A search that has begun."""
    return begin(PermutationAnnealing(**settings), oracle, batch)


def drawn(seed, count=50):
    return torch.rand((4, count, 1), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", MOVES)
@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 25), seed=st.integers(0, 10**6))
def test_a_move_gives_another_permutation(kind, n, seed):
    places = torch.arange(n)
    moved = MOVES[kind](drawn(seed), places)
    assert torch.equal(moved.sort(dim=1).values, places.expand(50, n))
    if n > 1:
        assert (moved != places).any(dim=1).all()


def test_two_opt_turns_one_part_around():
    for order in MOVES["two_opt"](drawn(0), torch.arange(12)).tolist():
        first = next(k for k, place in enumerate(order) if place != k)
        last = order[first]
        assert order == [*range(first), *range(last, first - 1, -1), *range(last + 1, 12)]


@pytest.mark.parametrize(("kind", "longest"), [("insertion", 1), ("or_opt", 3)])
def test_a_segment_comes_elsewhere_and_the_rest_keeps_its_order(kind, longest):
    lengths = set()
    for order in MOVES[kind](drawn(0, count=300), torch.arange(12)).tolist():
        segment = next(
            part
            for length in range(1, longest + 1)
            for first in range(12 - length + 1)
            if is_segment(part := order[first : first + length])
            and [place for place in order if place not in part] == sorted(set(range(12)) - set(part))
        )
        lengths.add(len(segment))
    assert lengths == set(range(1, longest + 1))


def is_segment(part):
    return sorted(part) == list(range(min(part), max(part) + 1)) and part in (sorted(part), sorted(part)[::-1])


def test_swap_exchanges_two():
    for order in MOVES["swap"](drawn(0), torch.arange(12)).tolist():
        assert sum(place != k for k, place in enumerate(order)) == 2


def test_the_length_of_a_neighbour_is_what_two_exchanged_legs_make_of_it():
    oracle, batch = problem(cities=15)
    search = ready(oracle, batch, moves=["two_opt"])
    tour, D = search.current, batch[1][0]
    length = oracle.losses(search._keys(tour[None]), batch)[0]
    population = search.ask()[2:]
    for order, loss in zip(search._asked[2:], oracle.losses(population, batch), strict=True):
        i, j = (order != tour).nonzero()[[0, -1], 0].tolist()
        a, b, c, d = tour[i - 1], tour[i], tour[j], tour[(j + 1) % 15]
        delta = 0.0 if (i, j) == (0, 14) else D[a, c] + D[b, d] - D[a, b] - D[c, d]
        assert loss == pytest.approx((length + delta).item(), abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 200), seed=st.integers(0, 10**6))
def test_keys_are_dealt_so_that_their_order_is_the_permutation(n, seed):
    oracle, batch = problem(cities=n)
    search = ready(oracle, batch)
    orders = torch.stack([torch.randperm(n, generator=torch.Generator().manual_seed(seed + k)) for k in range(3)])
    keys = search._keys(orders)
    assert torch.equal(keys.argsort(dim=1), orders)
    assert keys.abs().max() == pytest.approx(oracle.start.abs().max().item())


def test_keys_that_are_all_zero_have_an_order_too():
    oracle, batch = problem(cities=9)
    oracle.assign(torch.zeros(9))
    search = ready(oracle, batch)
    search.step(oracle, batch)
    assert torch.equal(search.recommend().argsort(), search.best)


@pytest.mark.parametrize(("rise", "probability"), [(-1.0, 1.0), (0.0, 1.0), (0.5, math.exp(-1)), (1.0, math.exp(-2))])
def test_uphill_moves_are_accepted_with_the_metropolis_probability(rise, probability):
    oracle, batch = problem(cities=8)
    search, accepted, n = ready(oracle, batch, temperature=0.5), 0, 3000
    candidate = search.current.roll(1)
    for _ in range(n):
        search.current, search.loss = candidate.roll(1), torch.tensor(1.0)
        search._walk(candidate[None], torch.tensor([1.0 + rise]))
        accepted += torch.equal(search.current, candidate)
    assert accepted / n == pytest.approx(probability, abs=0.03)


def test_the_first_that_is_accepted_is_taken_and_those_after_it_are_not_looked_at():
    oracle, batch = problem(cities=8)
    search = ready(oracle, batch, temperature=1e-9)
    search.loss = torch.tensor(1.0)
    candidates = torch.stack([search.current.roll(k) for k in range(1, 5)])
    search._walk(candidates, torch.tensor([2.0, math.inf, 0.9, 0.1]))
    assert torch.equal(search.current, candidates[2])
    assert search.loss == pytest.approx(0.9)
    assert torch.equal(search.best, candidates[2])


def test_on_fifty_cities_the_temperature_that_is_measured_is_the_usual_one():
    oracle, batch = problem(cities=50, forwards=1e5)
    search = ready(oracle, batch, moves=["two_opt"])
    search.step(oracle, batch)
    assert search.T0.item() == pytest.approx(0.5, abs=0.2)


def test_it_asks_for_more_at_a_time_as_it_cools():
    oracle, batch = problem(cities=20, forwards=10_000)
    search, sizes = ready(oracle, batch), []
    while not oracle.exhausted:
        before = oracle.ledger.evaluations
        search.step(oracle, batch)
        sizes.append(oracle.ledger.evaluations - before)
    assert sizes[0] < 1.5 * 200 + search.probes  # one at a time
    assert sizes[-2] > 2 * sizes[0]
    assert max(sizes) <= 200 * search.popsize + 2


def test_all_neighbours_are_charged_and_the_best_is_met_again_on_each_batch():
    oracle, batch = problem(cities=20)
    search = ready(oracle, batch, moves_per_step=1, probes=10)
    assert oracle.ledger.evaluations == oracle.ledger.forwards == 11  # the current permutation and its neighbours
    search.step(oracle, batch)
    assert oracle.ledger.evaluations == oracle.ledger.forwards == 14  # current and best again, and a neighbour
    search.best_loss = torch.tensor(-1.0)  # of an easier batch
    search.step(oracle, batch)
    assert search.best_loss > 0


def test_a_small_budget_is_not_spent_on_probes():
    oracle, batch = problem(cities=20, forwards=100)
    ready(oracle, batch, moves_per_step=1)
    assert oracle.ledger.evaluations == 9


@pytest.mark.parametrize(
    ("name", "config", "settings"),
    [("tsp", {"cities": 8}, {}), ("flow_shop", {"jobs": 7, "machines": 4}, {"moves": ["insertion", "swap"]})],
)
def test_it_finds_the_optimum_of_a_small_problem(name, config, settings):
    oracle, batch = problem(name, forwards=4000, **config)
    optimum = building.build("dataset", {"name": name, **config}).spec.reference
    search = ready(oracle, batch, **settings)
    while not oracle.exhausted:
        search.step(oracle, batch)
    assert optimum.proven
    assert oracle.losses(search.recommend()[None], batch).item() == pytest.approx(optimum.value, rel=1e-5)


def test_what_has_no_keys_is_refused():
    oracle, batch = problem("knapsack")
    with pytest.raises(ConfigError, match=r"needs model=solution.* parameters are logits: choose another"):
        ready(oracle, batch)


def test_another_encoding_is_refused():
    oracle, _ = problem()
    with pytest.raises(ConfigError, match="leave it at encoding=direct"):
        Trial(oracle.model, oracle.objective, PermutationAnnealing(), Budget(forwards=1e3), encoding=Subspace(5))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"moves": []}, r"strategy\.moves must list one or more of two_opt, or_opt, insertion, swap, but is \[\]"),
        ({"moves": ["2opt"]}, r"strategy\.moves must list .* but has '2opt'\. Did you mean 'or_opt'"),
        ({"temperature": 0.0}, r"strategy\.temperature must be a positive number, but is 0"),
        ({"temperature_decay": math.inf}, r"strategy\.temperature_decay must be a positive number, but is inf"),
        ({"probes": 0}, r"strategy\.probes must be at least 1, but is 0"),
        ({"popsize": 0}, r"strategy\.popsize must be at least 1"),
        ({"moves_per_step": 0}, r"strategy\.moves_per_step must be at least 1"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(settings, says):
    with pytest.raises(ConfigError, match=says):
        PermutationAnnealing(**settings)
