"""Splitting and standardising arrays."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridopt.errors import ConfigError, DataError
from hybridopt.toolbox.splits import split_arrays

SETS = ("train", "val", "test")
DEFAULTS = {"val_fraction": 0.2, "test_fraction": 0.2, "split_seed": 0}
RAW = {"standardise": False}


def split(inputs, targets, task="classification", **overrides):
    return split_arrays(np.asarray(inputs), np.asarray(targets), task, **DEFAULTS | overrides).sets


def numbered(count):
    """Samples that are their own index, so that one can see where each went."""
    return np.arange(count, dtype=float).reshape(-1, 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(10, 200), st.floats(0.1, 0.45), st.floats(0.1, 0.45), st.integers(0, 2**32 - 1))
def test_every_sample_is_in_exactly_one_set_with_its_target(count, val_fraction, test_fraction, seed):
    fractions = {"val_fraction": val_fraction, "test_fraction": test_fraction}
    sets = split(numbered(count), -numbered(count), "regression", standardise=False, split_seed=seed, **fractions)
    inputs, targets = (torch.cat([sets[name][i] for name in SETS]) for i in (0, 1))
    assert sorted(inputs.flatten().tolist()) == list(range(count))
    assert torch.equal(inputs, -targets)
    assert len(sets["val"][0]) == round(count * val_fraction)
    assert len(sets["test"][0]) == round(count * test_fraction)


def test_the_seed_fixes_the_split():
    labels = np.arange(60) % 3
    first, again, other = (split(numbered(60), labels, split_seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first["test"][0], again["test"][0])
    assert not torch.equal(first["test"][0], other["test"][0])


def test_classes_are_spread_in_proportion():
    labels = np.repeat([0, 1], [80, 20])
    for _, targets in split(numbered(100), labels).values():
        assert targets.float().mean() == pytest.approx(0.2)


@pytest.mark.parametrize("labels", [["b", "a", "c"], [7, -1, 9], [0.5, 0.0, 2.0]])
def test_classes_are_numbered_in_sorted_order(labels):
    sets = split(numbered(30), np.tile(labels, 10), standardise=False)
    for inputs, targets in sets.values():
        assert targets.dtype == torch.int64
        expected = [sorted(labels).index(labels[int(i) % 3]) for i in inputs]
        assert targets.tolist() == expected


@pytest.mark.parametrize("shape", [(3,), (5, 3), (3, 4, 4)], ids=str)
def test_training_inputs_get_mean_zero_and_variance_one(shape):
    rng = np.random.default_rng(0)
    axis = 1 if len(shape) == 3 else -1
    scale = np.moveaxis(np.array([1.0, 10.0, 100.0]).reshape((1,) * len(shape) + (3,)), -1, axis)
    inputs, _ = split(scale * (7 + rng.normal(size=(100, *shape))), np.arange(100) % 2)["train"]
    values = inputs.movedim(axis, -1).reshape(-1, 3)
    torch.testing.assert_close(values.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(values.var(0, correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_held_out_samples_have_no_say_in_the_scaling():
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(size=(50, 2)), np.arange(50) % 2
    raw = split(inputs, labels, standardise=False)
    held_out = torch.cat([raw["val"][0], raw["test"][0]])[:, 0]
    changed = inputs.copy()
    changed[np.isin(inputs[:, 0].astype(np.float32), held_out.numpy())] *= 1000
    assert torch.equal(split(inputs, labels)["train"][0], split(changed, labels)["train"][0])
    assert not torch.equal(split(inputs, labels)["test"][0], split(changed, labels)["test"][0])


def test_regression_targets_are_standardised_too():
    rng = np.random.default_rng(0)
    _, targets = split(rng.normal(size=(100, 2)), 1000 + 50 * rng.normal(size=100), "regression")["train"]
    assert targets.shape == (60, 1)
    assert targets.dtype == torch.float32
    assert float(targets.mean()) == pytest.approx(0, abs=1e-5)
    assert float(targets.std(correction=0)) == pytest.approx(1, abs=1e-4)


def test_a_constant_feature_becomes_zero():
    inputs = np.column_stack([np.full(40, 0.1), np.arange(40)])
    assert all((x[:, 0].abs() < 1e-6).all() for x, _ in split(inputs, np.arange(40) % 2).values())


@pytest.mark.parametrize("shape", [(3,), (5, 3), (3, 4, 4)], ids=str)
@pytest.mark.parametrize("standardise", [True, False])
def test_what_is_said_makes_the_same_of_raw_samples(shape, standardise):
    rng = np.random.default_rng(0)
    inputs, targets = 7 + 3 * rng.normal(size=(50, *shape)), 100 + rng.normal(size=(50, 2))
    inputs[:, 0] = 5.0  # constant, in a feature, a step or a channel
    places = np.repeat(["train", "val", "test"], [30, 10, 10])
    settings = {**DEFAULTS, "places": places, "standardise": standardise}
    module = split_arrays(inputs, targets, "regression", **settings, columns={"targets": ["x", "y"]})
    said = json.loads(json.dumps(module.preprocessing()))
    assert said["targets"]["columns"] == ["x", "y"]
    for raw, made, part in zip((inputs, targets), module.sets["test"], ("inputs", "targets"), strict=True):
        again = [(sample - said[part]["mean"]) / said[part]["scale"] for sample in raw[40:]]
        np.testing.assert_allclose(np.stack(again), made, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["b", "a", "c"], ["a", "b", "c"]),
        ([b"b", b"a", b"c"], ["a", "b", "c"]),
        ([7, -1, 9], [-1, 7, 9]),
        ([True, False], [False, True]),
        (np.array(["2024-02-01", "2024-01-01"], dtype="datetime64[D]"), ["2024-01-01", "2024-02-01"]),
    ],
    ids=["text", "bytes", "numbers", "booleans", "days"],
)
def test_the_label_of_each_output_is_said(labels, said):
    module = split_arrays(numbered(30), np.tile(labels, 30 // len(labels)), "classification", **DEFAULTS)
    kept = module.preprocessing()
    assert kept["targets"] == {"classes": said}
    assert kept["inputs"]["dtype"] == "float32"


def test_spec_describes_the_sets():
    module = split_arrays(np.zeros((30, 2, 9, 8)), np.arange(30) % 3, "classification", **DEFAULTS, batch_size=7)
    assert (module.spec.input_shape, module.spec.output_size, module.spec.task) == ((2, 9, 8), 3, "classification")
    assert module.batch_size == 7
    module = split_arrays(np.zeros((30, 4)), np.random.rand(30, 2), "regression", **DEFAULTS)
    assert (module.spec.input_shape, module.spec.output_size, module.spec.task) == ((4,), 2, "regression")


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"val_fraction": 0.0}, r"dataset\.val_fraction .* are 0\.0 and 0\.2"),
        ({"test_fraction": -0.1}, r"dataset\.test_fraction .* are 0\.2 and -0\.1"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "together below 1"),
        ({"val_fraction": float("nan")}, "above 0"),
        ({"split_seed": -1}, r"dataset\.split_seed .* is -1"),
        ({"split_seed": 2**32}, r"dataset\.split_seed"),
    ],
)
def test_settings_out_of_range_are_refused(overrides, says):
    with pytest.raises(ConfigError, match=says):
        split(numbered(30), np.arange(30) % 2, **overrides)


@pytest.mark.parametrize(
    ("labels", "overrides", "says"),
    [
        (["a"] * 20, {}, r"at least two classes.*\['a'\]"),
        (["a"] * 19 + ["b"], {}, r"'b' has the fewest samples \(1\)"),
        (list("abcdefghij") * 2, {}, "cannot be spread over 12 training, 4 validation and 4 test"),
        (["a"] * 18 + ["b"] * 2, {"val_fraction": 0.45, "test_fraction": 0.45}, r"'b' has the fewest samples \(2\)"),
        (["a", "b"], {}, "2 samples cannot be split"),
    ],
)
def test_classes_that_cannot_be_spread_are_named(labels, overrides, says):
    with pytest.raises(DataError, match=says):
        split(numbered(len(labels)), labels, **overrides)


def test_regression_targets_that_never_vary_are_refused():
    with pytest.raises(DataError, match="all 30 are the same"):
        split(numbered(30), np.ones(30), "regression")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=2, max_size=6),
    st.sampled_from([0.1, 0.2, 0.4]),
    st.sampled_from([0.1, 0.2, 0.4]),
    st.integers(0, 9),
)
def test_the_training_set_knows_every_class_or_the_split_is_refused(counts, val_fraction, test_fraction, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    fractions = {"val_fraction": val_fraction, "test_fraction": test_fraction}
    try:
        sets = split(numbered(len(labels)), labels, split_seed=seed, **fractions)
    except DataError:
        assert min(counts) < 5 or len(labels) * min(fractions.values()) < len(counts) + 1
    else:
        assert set(sets["train"][1].tolist()) == set(range(len(counts)))


# -- sets that are given ----------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(SETS), min_size=30, max_size=60), st.integers(0, 2**32 - 1))
def test_each_sample_is_where_it_is_given(places, seed):
    places = np.array([*SETS, *places])
    sets = split(numbered(len(places)), numbered(len(places)), "regression", places=places, split_seed=seed, **RAW)
    for name in SETS:
        assert sets[name][0].flatten().tolist() == np.flatnonzero(places == name).tolist()


@pytest.mark.parametrize(("given_set", "drawn"), [("test", "val"), ("val", "test")])
def test_a_set_that_is_not_given_is_drawn_from_the_training_samples(given_set, drawn):
    places = np.repeat(["train", given_set], [50, 10])
    fraction = {f"{drawn}_fraction": 0.3, f"{given_set}_fraction": 5.0}  # a share of nothing
    sets = split(numbered(60), np.arange(60) % 2, places=places, **fraction, **RAW)
    assert sets[given_set][0].flatten().tolist() == list(range(50, 60))
    assert len(sets[drawn][0]) == 15
    assert sorted(torch.cat([sets[drawn][0], sets["train"][0]]).flatten().tolist()) == list(range(50))
    with pytest.raises(ConfigError, match=rf"dataset\.{drawn}_fraction must lie in \(0, 1\), but is 1"):
        split(numbered(60), np.arange(60) % 2, places=places, **{f"{drawn}_fraction": 1.0})


def test_a_class_of_which_only_held_out_samples_are_given_is_refused():
    places = np.repeat(["train", "test"], [30, 10])
    labels = np.array([*["a", "b"] * 15, *["a", "c"] * 5])
    with pytest.raises(
        DataError, match="The test set has samples of the class 'c', of which the training set has none"
    ):
        split(numbered(40), labels, places=places)


def test_classes_that_cannot_be_spread_over_what_is_drawn_are_named():
    places, labels = np.repeat(["train", "test"], [20, 20]), [*"abcdefghij"] * 4
    with pytest.raises(
        DataError, match=r"over 18 training and 2 validation samples: .* or change dataset\.val_fraction\."
    ):
        split(numbered(40), labels, places=places, val_fraction=0.1)


def test_inputs_of_an_integer_type_are_not_standardised():
    sets = split(numbered(40) + 2**40, np.arange(40) % 2, dtype=torch.int64)
    assert sets["train"][0].dtype == torch.int64
    assert sorted(torch.cat([inputs for inputs, _ in sets.values()]).flatten().tolist()) == [
        2**40 + i for i in range(40)
    ]
