"""First weights of the members of a population."""

from __future__ import annotations

import torch
from small_problems import Point, oracle_for
from torch import nn

from hybridopt.core.handover import Handover
from hybridopt.encodings.subspace import Subspace
from hybridopt.encodings.supermask import Supermask
from hybridopt.toolbox.starts import population_of_starts, redrawn


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(100, 20), nn.LayerNorm(20), nn.Linear(20, 3))


def test_layers_draw_their_own_first_weights() -> None:
    model = network()
    with torch.no_grad():
        for value in model.parameters():
            value.fill_(7.0)  # trained, as it were
    drawn = redrawn(oracle_for(model), 50)
    hidden, norm = drawn[:, :2000], drawn[:, 2020:2060]
    assert hidden.abs().max() <= 0.1  # torch's bound, 1 / sqrt(100)
    assert 0.9 < hidden.std() / (0.1 / 3**0.5) < 1.1
    assert torch.equal(norm, torch.tensor([1.0] * 20 + [0.0] * 20).expand(50, -1))
    assert len(drawn.unique(dim=0)) == 50
    assert all((value == 7.0).all() for value in model.parameters())


def test_draws_come_from_the_oracles_generator_alone() -> None:
    before = torch.get_rng_state()
    one, other = redrawn(oracle_for(network(), seed=1), 2), redrawn(oracle_for(network(), seed=2), 2)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    again = redrawn(oracle_for(network(), seed=1), 2)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    torch.manual_seed(0)
    network()
    torch.set_rng_state(state)
    redrawn(oracle_for(Point(torch.ones(1, 2))), 2)
    assert torch.equal(torch.get_rng_state(), state)
    torch.set_rng_state(before)


def test_parameters_of_no_layer_keep_their_mean_and_spread() -> None:
    point = Point(3.0 + 0.5 * torch.randn(40, 50, generator=torch.Generator().manual_seed(0)), torch.tensor([2.0]))
    drawn = redrawn(oracle_for(point), 200)
    assert abs(drawn[:, :2000].mean() - 3.0) < 0.05
    assert abs(drawn[:, :2000].std() - 0.5) < 0.05
    assert 1.5 < drawn[:, 2000].std() < 2.5  # a single number, by its size


def test_the_network_as_it_stands_comes_first_and_then_what_is_inherited() -> None:
    oracle = oracle_for(Point(torch.zeros(1, 3)))
    given = torch.stack([torch.ones(3), torch.zeros(3), 2 * torch.ones(3)])
    heir = oracle.inheriting(Handover(population=given))
    assert population_of_starts(heir, 3).tolist() == [[0.0] * 3, [1.0] * 3, [2.0] * 3]
    assert population_of_starts(heir, 2).tolist() == [[0.0] * 3, [1.0] * 3]
    assert population_of_starts(heir, 5).shape == (5, 3)
    assert population_of_starts(oracle, 4)[0].tolist() == [0.0] * 3


def test_in_an_encoding_starts_lie_around_its_own() -> None:
    model = network()
    for encoding in (Supermask(), Subspace(dimension=30)):
        oracle = oracle_for(model).encoded(encoding)
        start, drawn = oracle.start, redrawn(oracle, 100)
        spread = start.std() if start.std() > 0 else torch.tensor(0.1)
        torch.testing.assert_close((drawn - start).std(), spread, rtol=0.1, atol=0)


def test_groups_have_starts_of_their_own() -> None:
    oracle = oracle_for(network()).restricted(["2.weight", "2.bias"])
    assert population_of_starts(oracle, 3).shape == (3, 63)
