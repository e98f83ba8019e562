"""The data are the package's, and nothing else is touched."""

import inspect
import random

import numpy as np
import pytest
import torch
from hybridopt_mnist1d.mnist1d import mnist1d
from mnist1d.data import get_dataset_args, make_dataset

from hybridopt import ConfigError

OWN = {"generator_seed", "batch_size", "val_fraction", "split_seed"}


@pytest.fixture(scope="module")
def published():
    """What the package gives without settings."""
    return make_dataset(get_dataset_args())


def test_the_test_set_is_the_published_one(published):
    inputs, targets = mnist1d().sets["test"]
    assert torch.equal(inputs, torch.from_numpy(published["x_test"]).float())
    assert torch.equal(targets, torch.from_numpy(published["y_test"]))


def test_training_and_validation_are_the_published_training_set(published):
    sets = mnist1d(val_fraction=0.25).sets
    assert [len(sets[name][0]) for name in ("train", "val", "test")] == [3000, 1000, 1000]
    rows = {
        (*inputs.tolist(), int(target)) for name in ("train", "val") for inputs, target in zip(*sets[name], strict=True)
    }
    wanted = np.column_stack([published["x"].astype(np.float32), published["y"]])
    assert rows == {tuple(row) for row in wanted.tolist()}


def test_settings_are_the_package_s():
    defaults = {name: setting.default for name, setting in inspect.signature(mnist1d).parameters.items()}
    arguments = get_dataset_args(as_dict=True)
    assert defaults["generator_seed"] == arguments.pop("seed")
    arguments.pop("url")  # nothing is downloaded
    assert {name: value for name, value in defaults.items() if name not in OWN} == arguments


@pytest.mark.parametrize(
    "settings",
    [
        {"final_seq_length": 60},
        {"shuffle_seq": True},
        {"generator_seed": 1},
        {"max_translation": 1},
        {"padding": [0, 3], "max_translation": 15},
        {"corr_noise_scale": 0, "iid_noise_scale": 0.5},
    ],
    ids=str,
)
def test_settings_change_what_is_drawn(settings):
    usual, changed = mnist1d(num_samples=200), mnist1d(num_samples=200, **settings)
    assert changed.spec.input_shape == (settings.get("final_seq_length", 40),)
    assert not torch.equal(usual.sets["test"][0], changed.sets["test"][0])
    assert changed.sets["test"][0].isfinite().all()


def test_the_global_generators_stay_as_they_were():
    before = random.getstate(), np.random.get_state()[1].tolist()
    mnist1d(num_samples=200)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_samples": 50}, r"dataset\.num_samples must be at least 100"),
        ({"train_split": 1.0}, r"dataset\.train_split must lie in \(0, 1\)"),
        ({"padding": [5]}, r"dataset\.padding .* is \[5\]: write for example dataset\.padding=\[36,60\]"),
        ({"padding": [9, 5]}, r"dataset\.padding"),
        ({"max_translation": 73}, r"dataset\.max_translation must be between 1 and 72"),
        ({"shear_scale": -1.0}, r"dataset\.shear_scale must be at least 0"),
        ({"generator_seed": -1}, r"dataset\.generator_seed"),
    ],
)
def test_settings_out_of_range(settings, says):
    with pytest.raises(ConfigError, match=says):
        mnist1d(**settings)
