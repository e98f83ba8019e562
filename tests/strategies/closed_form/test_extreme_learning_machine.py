"""The last layer in closed form: against scikit-learn's ridge regression on the same features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from small_problems import Point, begin, deploy, make_strategy, oracle_for, run_steps
from torch import nn

from hybridopt import DataSpec
from hybridopt.composition import building
from hybridopt.errors import ConfigError
from hybridopt.objectives.cross_entropy import CrossEntropy


def network(features: int = 20, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    spec = DataSpec((5,), 2, "regression")
    return building.build("model", {"name": "random_features", "features": features, **settings}, spec=spec)


def data(samples: int = 100) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(samples, 5, generator=generator)
    return x, torch.stack([x[:, 0] * x[:, 1], x.sum(1)], dim=1)


@pytest.mark.parametrize("direct_link", [False, True])
def test_it_is_ridge_regression_on_the_features(direct_link: bool) -> None:
    model, (x, y) = network(direct_link=direct_link), data()
    run_steps(make_strategy("extreme_learning_machine", ridge=1e-3), oracle_for(model), (x, y), 1)
    with torch.no_grad():
        features = model[:-1](x).numpy().astype(np.float64)
    peer = Ridge(alpha=1e-3 * len(x)).fit(features, y.numpy())
    assert np.allclose(model[-1].weight.detach().numpy(), peer.coef_, atol=1e-3)
    assert np.allclose(model[-1].bias.detach().numpy(), peer.intercept_, atol=1e-3)
    assert features.shape[1] == (25 if direct_link else 20)


def test_batches_one_after_the_other_are_all_the_data_at_once() -> None:
    x, y = data()
    ends = []
    for size in (100, 10):
        model = network()
        oracle, strategy = oracle_for(model), make_strategy("extreme_learning_machine")
        begin(strategy, oracle, (x, y))
        for batch in zip(x.split(size), y.split(size), strict=True):
            strategy.step(oracle, batch)
        deploy(strategy, oracle)
        assert oracle.ledger.forwards == 100
        ends.append(model[-1].weight.detach().clone())
    assert torch.allclose(*ends, atol=1e-4)


def test_a_second_pass_changes_nothing() -> None:
    batch, ends = data(), []
    for steps in (1, 2):
        model = network()
        run_steps(make_strategy("extreme_learning_machine"), oracle_for(model), batch, steps)
        ends.append(model[-1].weight.detach().clone())
    assert torch.allclose(*ends, atol=1e-4)


def test_classes_are_learnt_as_signs() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 5)
    batch = (x, (x[:, 0] * x[:, 1] > 0).long())
    model = network(features=100)
    run_steps(make_strategy("extreme_learning_machine"), oracle_for(model, CrossEntropy()), batch, 1)
    assert (model(x).argmax(1) == batch[1]).float().mean() > 0.9


def test_a_network_without_a_last_linear_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match="solves the last linear layer of a network, and this one does not end in"):
        make_strategy("extreme_learning_machine").attach(oracle_for(Point(torch.ones(1, 2))))


def test_a_network_that_goes_on_after_it_is_refused() -> None:
    model = nn.Sequential(nn.Linear(5, 2), nn.Tanh())
    with pytest.raises(ConfigError, match="The network does not end in its layer 0, which a closed form needs"):
        run_steps(make_strategy("extreme_learning_machine"), oracle_for(model), data(), 1)
