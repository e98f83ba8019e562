"""Random search: where it samples, and that no lucky batch is remembered."""

import pytest
import torch
from small_problems import begin
from torch import nn

from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.oracle import Oracle
from hybridopt.errors import ConfigError
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.strategies.metaheuristics.random_search import RandomSearch


def make_oracle(forwards=1e6, seed=0):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    return Oracle(nn.Linear(3, 2), MeanSquaredError(), Ledger(Budget(forwards=forwards)), generator)


def make_batch(shift=0.0):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn((8, 3), generator=generator)
    return inputs, inputs @ torch.ones(3, 2) + shift


def test_samples_are_independent_and_around_the_start_vector():
    search, oracle = RandomSearch(popsize=5001, sigma=0.3), make_oracle()
    begin(search, oracle, make_batch())
    search.incumbent += 10.0  # wherever the incumbent is
    newcomers = search.ask()[1:]
    assert torch.allclose(newcomers.mean(0), oracle.start, atol=0.02)
    assert torch.allclose(newcomers.std(0), torch.full((8,), 0.3), atol=0.02)


def test_the_incumbent_is_a_member_of_each_population_and_is_charged():
    search, oracle = RandomSearch(popsize=10), make_oracle()
    begin(search, oracle, make_batch())
    assert torch.equal(search.ask()[0], oracle.start)
    search.step(oracle, make_batch())
    assert torch.equal(search.ask()[0], search.recommend())
    assert (oracle.ledger.evaluations, oracle.ledger.forwards) == (10, 80)


def test_on_the_same_batch_the_incumbent_is_not_evaluated_again():
    search, oracle = RandomSearch(popsize=3, moves_per_step=4), make_oracle()
    begin(search, oracle, make_batch())
    search.step(oracle, make_batch())
    assert (oracle.ledger.evaluations, oracle.ledger.forwards) == (12, 96)
    search.move = 1
    population, before = search.ask(), search.recommend().clone()
    assert len(population) == 3
    search.tell(population, search.loss + torch.tensor([0.1, 0.2, 0.3]))
    assert torch.equal(search.recommend(), before)
    search.tell(population, search.loss - torch.tensor([0.1, 0.2, 0.3]))
    assert torch.equal(search.recommend(), population[2])


def test_a_lucky_batch_is_not_remembered():
    search, oracle = RandomSearch(popsize=3), make_oracle()
    begin(search, oracle, make_batch())
    population = search.ask()
    search.tell(population, torch.tensor([5.0, 0.1, 9.0]))  # an easy batch
    population = search.ask()
    search.tell(population, torch.tensor([8.0, 9.0, 7.0]))  # a hard one, on which the incumbent is beaten
    assert torch.equal(search.recommend(), population[2])


def test_a_tie_and_a_failure_keep_the_incumbent():
    search, oracle = RandomSearch(popsize=3), make_oracle()
    begin(search, oracle, make_batch())
    for losses in ([1.0, 1.0, 1.0], [torch.inf] * 3):
        search.tell(search.ask(), torch.tensor(losses))
        assert torch.equal(search.recommend(), oracle.start)


def test_it_gets_closer():
    search, oracle, batch = RandomSearch(popsize=50, sigma=0.5), make_oracle(), make_batch()
    begin(search, oracle, make_batch())
    first = oracle.losses(oracle.start[None], batch)
    for _ in range(40):
        search.step(oracle, batch)
    assert oracle.losses(search.recommend()[None], batch) < 0.5 * first


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"popsize": 1}, "popsize must be at least 2"), ({"sigma": 0.0}, "sigma must be a positive number, but is 0")],
)
def test_refusals(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        RandomSearch(**settings)
