"""Running statistics of batch normalisation that belong to the weights beside them."""

from __future__ import annotations

import torch
from torch import nn

from hybridopt.engine.normalisation import calibrate, normalising, unlearned


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2), nn.BatchNorm1d(2))


def test_statistics_are_those_of_the_batches() -> None:
    model, batches = network(), [torch.randn(20, 3), 2 + torch.randn(20, 3)]
    model.train()
    calibrate(model, batches)
    inner = [model[0](batch).detach() for batch in batches]
    assert torch.allclose(model[1].running_mean, torch.stack([part.mean(0) for part in inner]).mean(0), atol=1e-6)
    assert torch.allclose(model[1].running_var, torch.stack([part.var(0) for part in inner]).mean(0), atol=1e-5)
    assert (model.training, model[1].momentum) == (True, 0.1)
    assert all(part.training for part in model.modules())


def test_evaluation_is_then_that_by_batch_statistics() -> None:
    model, batch = network(), torch.randn(50, 3) * 5 + 3
    model[2].p = 0.0
    calibrate(model, [batch])
    by_batch = model.train()(batch)
    calibrate(model, [batch])
    assert torch.allclose(model.eval()(batch), by_batch, atol=0.1)  # but for the variance's n - 1


def test_layers_without_running_statistics_are_no_concern() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), nn.LayerNorm(3), nn.InstanceNorm1d(3))
    assert not normalising(model)
    assert unlearned(model) == []
    assert unlearned(network()) == ["1", "4"]
