"""What a weight is: of which masks and pruning speak, and what sparsity counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from small_problems import make_strategy, oracle_for
from torch import nn
from torch.nn.utils import parametrizations

from hybridopt.encodings.supermask import Supermask
from hybridopt.engine.weights import sparsity, weights_of
from hybridopt.errors import ConfigError

NORMS = [parametrizations.weight_norm, parametrizations.spectral_norm, nn.utils.spectral_norm]


def normed(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), norm(nn.Linear(4, 2)))


@pytest.mark.parametrize("norm", NORMS)
def test_a_computed_weight_is_not_masked(norm: Callable[[nn.Module], nn.Module]) -> None:
    with pytest.raises(ConfigError, match="The weight of layer 2 is computed from other parameters"):
        weights_of(dict(normed(norm).named_parameters()))
    with pytest.raises(ConfigError, match="weight or spectral normalisation"):
        oracle_for(normed(norm)).encoded(Supermask())
    for strategy in ("iterative_magnitude_pruning", "edge_popup"):
        with pytest.raises(ConfigError, match="weight or spectral normalisation"):
            make_strategy(strategy).attach(oracle_for(normed(norm)))


def test_sparsity_counts_weights_as_layers_use_them() -> None:
    model = normed(parametrizations.weight_norm)
    with torch.no_grad():
        model[0].weight.zero_()
        model[2].parametrizations.weight.original1[:, :2] = 0
    assert sparsity(model) == (12 + 4) / (12 + 8)


def test_tied_weights_count_once() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    model[1].weight = model[0].weight
    with torch.no_grad():
        model[2].weight.zero_()
    assert sparsity(model) == 6 / (9 + 6)
    assert sparsity(nn.LayerNorm(3)) == 0.0
