"""Modules have the names that users give them."""

import pytest
import torch
from torch import nn

from hybridopt import Budget, Trial, build, compose
from hybridopt.engine.named import NamedModules


@pytest.mark.parametrize("name", ["half", "items", "type", "keys", "training", "forward", "_modules"])
def test_a_method_s_name_is_one_like_any_other(name):
    modules = NamedModules({name: nn.Linear(2, 1), "other": nn.Linear(1, 1)})
    assert [*modules.keys()] == [name, "other"]
    again = NamedModules({name: nn.Linear(2, 1), "other": nn.Linear(1, 1)})
    again.load_state_dict(modules.state_dict())
    assert torch.equal(again[name].weight, modules[name].weight)
    assert len([*modules.modules()]) == 3


def test_phases_and_objectives_may_be_called_so():
    phases = [f"+strategy/phases@strategy.phases.{name}=adam" for name in ("half", "float")]
    objectives = "objectives={type: cross_entropy, items: zero_weights}"
    trial = build(compose("strategy=sequence", *phases, objectives)).trial
    assert isinstance(trial, Trial)
    assert [*trial.strategy.phases] == ["half", "float"]
    assert [*trial.objective.parts] == ["type", "items"]
    assert trial.budget != Budget(forwards=1)
