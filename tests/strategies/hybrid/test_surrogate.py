"""A phase on another objective than the run's."""

from __future__ import annotations

import pytest
import torch
from small_problems import begin, make_strategy, oracle_for
from torch import nn

from hybridopt import DataSpec
from hybridopt.core.compatibility import check_compatible
from hybridopt.errors import ConfigError
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.objectives.zero_one import ZeroOne
from hybridopt.testing.plugins import filled

SPEC = DataSpec((4,), 2, "classification")


def test_descent_on_the_stand_in_is_descent_without_it() -> None:
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    batch = x, (x[:, 0] > 0).long()
    ends = []
    for name, settings in {"surrogate": {"inner": {"name": "sgd"}}, "sgd": {}}.items():
        torch.manual_seed(0)
        model = nn.Linear(4, 2)
        objective = ZeroOne() if name == "surrogate" else make_strategy("surrogate").objective
        strategy, oracle = make_strategy(name, **settings), oracle_for(model, objective)
        begin(strategy, oracle, batch)
        for _ in range(5):
            strategy.step(oracle, batch)
        ends.append(model.weight.detach().clone())
    assert torch.equal(*ends)


def test_it_goes_before_a_search_on_a_loss_without_a_gradient() -> None:
    phases = {"a": filled("strategy", {"name": "surrogate"}), "b": {"name": "cem"}}
    check_compatible(ZeroOne(), make_strategy("sequence", phases=phases), None, SPEC)


@pytest.mark.parametrize(("name", "setting"), [("surrogate", "objective"), ("guided_es", "surrogate")])
def test_a_stand_in_for_other_data_is_refused_before_it_trains(name: str, setting: str) -> None:
    strategy = make_strategy(name, **{setting: {"name": "cross_entropy"}})
    with pytest.raises(ConfigError, match=r"^The objective CrossEntropy is made for classification, but the data set"):
        check_compatible(MeanSquaredError(), strategy, None, DataSpec((4,), 1, "regression"))


def test_a_stand_in_without_a_gradient_is_refused_to_descent() -> None:
    with pytest.raises(ConfigError, match=r"needs a gradient, and the stand-in ZeroOne has none: choose another one"):
        make_strategy("surrogate", objective={"name": "zero_one"})
