"""Simulated annealing: the acceptance rule, the schedule, and the current point on a new batch."""

import math

import pytest
import torch
from small_problems import begin
from torch import nn

from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.oracle import Oracle
from hybridopt.errors import ConfigError
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.strategies.metaheuristics.simulated_annealing import SimulatedAnnealing
from hybridopt.toolbox.annealing import initial_temperature


def make_oracle(forwards=1e6, seed=0):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    return Oracle(nn.Linear(3, 2), MeanSquaredError(), Ledger(Budget(forwards=forwards)), generator)


def make_batch(shift=0.0):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn((8, 3), generator=generator)
    return inputs, inputs @ torch.ones(3, 2) + shift


def at_temperature(T, **settings):
    """A search that has been calibrated."""
    search = SimulatedAnnealing(**settings)
    begin(search, make_oracle(), make_batch())
    search.T0, search.T, search.s, search.move = torch.tensor(T), torch.tensor(T), 0.1, 1
    search.loss = torch.tensor(1.0)
    return search


@pytest.mark.parametrize(("delta", "probability"), [(-1.0, 1.0), (0.0, 1.0), (0.5, math.exp(-1)), (1.0, math.exp(-2))])
def test_uphill_moves_are_accepted_with_the_metropolis_probability(delta, probability):
    search, accepted, n = at_temperature(0.5, moves_per_step=10**6), 0, 3000
    for _ in range(n):
        search.loss = torch.tensor(1.0)
        candidate = search.theta + 1.0
        search.tell(candidate[None], torch.tensor([1.0 + delta]))
        accepted += torch.equal(search.theta, candidate)
    assert accepted / n == pytest.approx(probability, abs=0.03)


def test_at_temperature_zero_nothing_goes_up():
    search = at_temperature(0.0, moves_per_step=100)
    before = search.recommend().clone()
    for delta in (1e-6, 1.0, math.inf):
        search.tell(before[None] + 1.0, torch.tensor([1.0 + delta]))
    assert torch.equal(search.recommend(), before)


def test_whatever_is_finite_beats_a_failure():
    search = at_temperature(0.5, moves_per_step=100)
    search.loss = torch.tensor(math.inf)
    candidate = search.theta + 1.0
    search.tell(candidate[None], torch.tensor([7.0]))
    assert torch.equal(search.recommend(), candidate)


def test_initial_temperature_accepts_the_median_uphill_move_with_probability_one_half():
    T0 = initial_temperature(torch.tensor([-3.0, 1.0, 2.0, 0.0, math.inf]))  # a tie and a failure say nothing of sizes
    assert math.exp(-2.0 / T0) == pytest.approx(0.5)
    assert initial_temperature(torch.zeros(3)) == 0


def test_temperature_and_scale_are_geometric_in_the_budget_and_fixed_on_a_batch():
    oracle = make_oracle(forwards=8 * 800)
    search = SimulatedAnnealing(moves_per_step=19, probes=9)
    begin(search, oracle, make_batch())
    temperatures = []
    while not oracle.exhausted:
        progress = oracle.progress
        search.step(oracle, make_batch(shift=len(temperatures)))
        assert float(search.T / search.T0) == pytest.approx(1e-3**progress, rel=1e-4)
        assert search.s == pytest.approx(search.sigma * 0.1**progress)
        temperatures.append(float(search.T))
    assert len(temperatures) == 40
    assert temperatures[-1] == pytest.approx(1e-3 * temperatures[0], rel=0.2)


def test_the_current_point_is_evaluated_again_on_each_new_batch_and_charged():
    oracle = make_oracle()
    search = SimulatedAnnealing(moves_per_step=5, probes=20)
    begin(search, oracle, make_batch())
    assert oracle.ledger.evaluations == 21  # the current point and the probes
    search.step(oracle, make_batch())
    assert oracle.ledger.evaluations == 21 + 6  # five moves, and the current point on the new batch
    before, batch = search.recommend().clone(), make_batch(shift=100.0)
    search.move = 0  # as step() says on a new batch
    population = search.ask()
    assert torch.equal(population[0], before)
    search.tell(population, oracle.losses(population, batch))
    assert search.loss > 100.0  # what it knew of the easier batch is gone


def test_a_small_budget_is_not_spent_on_probes():
    oracle = make_oracle(forwards=8 * 100)
    search = SimulatedAnnealing(moves_per_step=1)
    begin(search, oracle, make_batch())
    assert oracle.ledger.evaluations == 10


def test_it_anneals_to_the_minimum():
    oracle, batch = make_oracle(forwards=8 * 1500), make_batch()
    search = SimulatedAnnealing(sigma=0.3, sigma_decay=0.03)
    begin(search, oracle, make_batch())
    first = oracle.losses(oracle.start[None], batch)
    while not oracle.exhausted:
        search.step(oracle, batch)
    assert oracle.losses(search.recommend()[None], batch) < 0.01 * first


@pytest.mark.parametrize("name", ["sigma", "sigma_decay", "temperature_decay", "probes", "moves_per_step"])
def test_refusals(name):
    with pytest.raises(ConfigError, match=f"strategy.{name} must be .* but is 0"):
        SimulatedAnnealing(**{name: 0})
