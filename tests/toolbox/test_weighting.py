"""Samples that are drawn by weight into the training batches."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridopt.errors import ConfigError, DataError
from hybridopt.toolbox.splits import split_arrays
from hybridopt.toolbox.weighting import WeightedStream, Weights, draws

WEIGHTS = st.lists(st.floats(0, 1e6), min_size=1, max_size=60).filter(lambda weights: sum(weights) > 1e-3)
LABELS = np.array(["ant"] * 6 + ["bee"] * 3 + ["cow"])


def counted(weights, seed=0):
    drawn = draws(torch.tensor(weights, dtype=torch.float64), torch.Generator().manual_seed(seed))
    return drawn.bincount(minlength=len(weights))


@given(WEIGHTS, st.integers(0, 1000))
def test_each_sample_is_drawn_as_often_as_it_weighs_but_for_rounding(weights, seed):
    times, wanted = counted(weights, seed).double(), torch.tensor(weights, dtype=torch.float64)
    assert times.sum() == len(weights)
    assert ((times - len(weights) * wanted / wanted.sum()).abs() < 1 + 1e-6).all()
    assert (times[wanted == 0] == 0).all()


def test_rounding_is_fair():
    weights = [0.1, 0.4, 1.25, 2.25]
    mean = sum(counted(weights, seed).double() for seed in range(2000)) / 2000
    torch.testing.assert_close(mean, torch.tensor(weights, dtype=torch.float64), atol=0.05, rtol=0)


@given(st.integers(1, 500), st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_equal_weights_give_each_sample_once(count, weight, seed):
    assert (counted([weight] * count, seed) == 1).all()


def stream(batch_size, seed=0):
    rows = torch.arange(10.0).reshape(-1, 1)
    return WeightedStream(rows, -rows, torch.arange(10.0), batch_size, seed)


@pytest.mark.parametrize(("batch_size", "size"), [(3, 3), (10, 10), (50, 10), (None, 10)])
def test_batches_are_pairs_of_one_size_that_differ(batch_size, size):
    batches = list(islice(iter(stream(batch_size)), 6))
    assert all(torch.equal(inputs, -targets) and len(inputs) == size for inputs, targets in batches)
    assert not all(torch.equal(batches[0][0], inputs) for inputs, _ in batches)
    assert not stream(batch_size).unchanged


@settings(max_examples=20)
@given(st.sampled_from([3, None]), st.integers(0, 12))
def test_a_resumed_stream_reads_on_where_it_was(batch_size, place):
    whole = iter(stream(batch_size, seed=7))
    expected = list(islice(whole, place + 5))[place:]
    source, resumed = stream(batch_size, seed=7), stream(batch_size, seed=7)
    list(islice(iter(source), place))
    resumed.load_state_dict(source.state_dict())
    for (inputs, targets), (others, other_targets) in zip(islice(iter(resumed), 5), expected, strict=True):
        assert torch.equal(inputs, others)
        assert torch.equal(targets, other_targets)


# -- what weights are -------------------------------------------------------------------------------------------------


def test_balanced_classes_weigh_the_same_in_all():
    rows = np.arange(9)  # without the cow
    weights = Weights("balanced").of(rows, LABELS)
    assert weights[:6].sum() == pytest.approx(float(weights[6:].sum()))


def test_classes_and_samples_multiply():
    weights = Weights({"bee": 5, "cow": 0}, np.arange(10.0)).of(np.arange(10), LABELS)
    assert weights.tolist() == [0, 1, 2, 3, 4, 5, 30, 35, 40, 0]


def test_classes_may_be_numbers():
    assert Weights({1: 3.0}).of(np.arange(4), np.array([0, 1, 0, 1])).tolist() == [1, 3, 1, 3]


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ("balance", r"must be balanced or a weight for each class, but is 'balance': write .*\{ant: 1, bee: 5\}"),
        ({"be": 2}, r"names 'be', which is no class\. Did you mean 'bee'\?"),
        ({"bee": -1}, "a finite number of at least 0 for each class, but has -1 for 'bee'"),
        ({"bee": "2"}, "but has '2' for 'bee'"),
        ({"ant": 0, "bee": 0, "cow": 0}, "leave no sample a weight above 0"),
    ],
)
def test_class_weights_that_cannot_be(classes, says):
    with pytest.raises(ConfigError, match=says):
        Weights(classes).of(np.arange(10), LABELS)


def test_class_weights_need_classes():
    with pytest.raises(ConfigError, match="but the target holds amounts"):
        Weights("balanced").of(np.arange(10), None)


@pytest.mark.parametrize("samples", [np.array([1.0, -1.0]), np.zeros(2)])
def test_sample_weights_that_cannot_be(samples):
    with pytest.raises(DataError, match=r"dataset\.sample_weight must be at least 0"):
        Weights(samples=samples).of(np.arange(2), None)


# -- in a data module -------------------------------------------------------------------------------------------------


def test_training_alone_is_weighted_and_the_data_are_told_apart():
    inputs, labels = np.arange(40.0).reshape(-1, 1), np.repeat([0, 1], [30, 10])
    settings = {"split_seed": 0, "standardise": False, "batch_size": None}
    plain = split_arrays(inputs, labels, "classification", **settings)
    weighted = split_arrays(inputs, labels, "classification", **settings, weights=Weights("balanced"))
    _, targets = next(iter(weighted.train_dataloader()))
    assert targets.sum() == len(targets) / 2
    for name, loader in {"val": weighted.val_dataloader(), "test": weighted.test_dataloader()}.items():
        ((kept, _),) = loader
        assert torch.equal(kept, plain.sets[name][0])
        assert weighted.facts(name) == plain.facts(name)
    assert weighted.facts("train")["digest"] != plain.facts("train")["digest"]
