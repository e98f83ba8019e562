"""Each check of models, by a model that fails that one alone."""

from __future__ import annotations

import re
from math import prod
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hybridopt import DataSpec
from hybridopt.errors import ConfigError
from hybridopt.testing import checks, run_checks


def sound(spec: DataSpec, hidden: int = 4, bias: bool = True) -> nn.Module:
    """A network with one hidden layer."""
    inner = nn.Linear(prod(spec.input_shape), hidden)
    return nn.Sequential(nn.Flatten(), inner, nn.Tanh(), nn.Linear(hidden, spec.output_size, bias))


def zeros(spec: DataSpec) -> nn.Module:
    """Weights that are constants: no seed can make a difference."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(prod(spec.input_shape), spec.output_size))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


def images_only(spec: DataSpec) -> nn.Module:
    """A network that refuses what it cannot read."""
    if len(spec.input_shape) != 3:
        raise ConfigError("model=images_only reads images: take model=mlp.")
    return sound(spec)


def columns(spec: DataSpec) -> nn.Module:
    """Whose outputs have a dimension too many."""
    return nn.Sequential(sound(spec), nn.Unflatten(1, (1, -1)))


def crashing(spec: DataSpec) -> nn.Module:
    """Which meets sequences and images unprepared."""
    return nn.Linear(spec.input_shape[0], spec.output_size)


def choosy(spec: DataSpec) -> nn.Module:
    """Which is made for data that the kit does not know."""
    raise ConfigError("model=choosy reads protein structures.")


def half_done(spec: DataSpec, activation: Literal["tanh", "relu"] = "tanh") -> nn.Module:
    """One of whose options diverges."""
    model = sound(spec)
    if activation == "relu":
        nn.init.constant_(model[1].weight, torch.inf)
    return model


def frozen(spec: DataSpec) -> nn.Module:
    """Which nobody can train."""
    return sound(spec).requires_grad_(False)


class Centred(nn.Module):
    """Subtracts the mean over the batch, whatever the mode."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs - inputs.mean(0)


def entangled(spec: DataSpec) -> nn.Module:
    """Whose samples see each other."""
    return nn.Sequential(sound(spec), Centred())


class First(nn.Module):
    """Keeps the first value of a sample."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1)[:, :1]


def narrow(spec: DataSpec) -> nn.Module:
    """Which reads one value of each sample."""
    return nn.Sequential(First(), nn.Linear(1, spec.output_size))


class Branching(nn.Module):
    """Goes a way that depends on the data."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs if inputs.sum().item() > 1e9 else 2 * inputs


def branching(spec: DataSpec) -> nn.Module:
    """Which cannot be vectorised."""
    return nn.Sequential(sound(spec), Branching())


def numpy_weights(spec: DataSpec) -> nn.Module:
    """Whose first weights come from numpy."""
    model = sound(spec)
    with torch.no_grad():
        model[1].weight.copy_(torch.from_numpy(np.random.standard_normal(model[1].weight.shape)))
    return model


def own_seed(spec: DataSpec) -> nn.Module:
    """Whose first weights are always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(42)
        return sound(spec)


class Scaled(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * torch.from_numpy(1 + np.abs(inputs.detach().numpy()[:, :1]))


def partly_numpy(spec: DataSpec) -> nn.Module:
    """Which computes a factor by numpy."""
    return nn.Sequential(nn.Flatten(), Scaled(), *sound(spec)[1:])


class Masked(nn.Linear):
    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs)
        self.masks = {"weight": torch.ones_like(self.weight.detach())}


def unmoved(spec: DataSpec) -> nn.Module:
    """Which holds a tensor in a plain attribute."""
    return nn.Sequential(nn.Flatten(), Masked(torch.Size(spec.input_shape).numel(), spec.output_size))


def imperious(spec: DataSpec) -> nn.Module:
    """Which takes a thread more."""
    torch.set_num_threads(torch.get_num_threads() + 1)
    return sound(spec)


BROKEN = [
    (unmoved, "keeps_tensors_in_buffers", r"holds a tensor in the plain attribute self\.1\.masks, which is not moved"),
    (imperious, "leaves_the_process_alone", r"changes the whole process \(torch\.set_num_threads\)"),
    (columns, "builds_for_several_specs", r"its outputs have the shape \(6, 1, 3\) and not \(6, 3\)"),
    (crashing, "builds_for_several_specs", r"for DataSpec\(input_shape=\(7, 3\), .* it raises"),
    (choosy, "builds_for_several_specs", r"refuses every shape that the kit knows .* conformance"),
    (half_done, "builds_from_every_option", r"with activation=relu, .* it gives outputs that are not finite"),
    (frozen, "has_weights_to_train", r"it has no parameter to train"),
    (entangled, "samples_do_not_influence_each_other", r"depends on the others in its batch"),
    (narrow, "every_input_value_matters", r"1 of the values of a sample have no influence .* value \[1\] of"),
    (branching, "vmaps", r"under torch\.vmap it raises RuntimeError"),
    (partly_numpy, "replayed_is_what_would_be_run", r"other outputs when it is replayed .* compute with torch, since"),
    (numpy_weights, "same_seed_same_weights", r"differ under the same torch\.manual_seed"),
    (own_seed, "other_seed_other_weights", r"every seed gives the same first weights"),
]


@pytest.mark.parametrize(("model", "fails", "says"), BROKEN, ids=[case[0].__name__ for case in BROKEN])
def test_a_broken_model_fails_its_check_alone(model, fails, says):
    failed = {outcome.check: outcome.sentence for outcome in run_checks(model) if outcome.status == "failed"}
    assert re.match(rf"model {model.__name__} fails {fails}: ", failed[fails])
    assert re.search(says, failed[fails]), failed[fails]
    if model not in (crashing, choosy):  # what cannot be built fails all that builds it
        assert failed.keys() == {fails}


@pytest.mark.parametrize("model", [sound, zeros, images_only], ids=lambda model: model.__name__)
def test_a_sound_model_passes(model):
    assert [outcome for outcome in run_checks(model) if outcome.status != "passed"] == []


def test_each_check_is_failed_by_somebody():
    general = {"can_be_imported", "has_a_summary", "config_survives_yaml", "search_space_is_of_its_settings"}
    assert {check.name for check in checks(sound)} - general == {fails for _, fails, _ in BROKEN}
