"""Tables: numbers, categories, arrays, classes, values; scales of the training rows alone; what cannot be learned."""

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Array3D, ClassLabel, Dataset, DatasetDict, Features, Value
from hf_layouts import SETS, refused
from hybridopt_huggingface.huggingface import huggingface

from hybridopt import ConfigError

COUNT = 80
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "a": RNG.normal(size=COUNT),
        "b": np.arange(COUNT),
        "colour": np.tile(["red", "green", "blue", "grey"], 20),
        "label": np.tile(["no", "yes"], 40),
    }
)
WRITERS = {
    "csv": lambda table, path: table.to_csv(path, index=False),
    "tsv": lambda table, path: table.to_csv(path, index=False, sep="\t"),
    "json": lambda table, path: table.to_json(path, orient="records"),
    "jsonl": lambda table, path: table.to_json(path, orient="records", lines=True),
    "parquet": lambda table, path: table.to_parquet(path),
}


@pytest.fixture
def write(tmp_path):
    """Writes a table, and returns its path."""

    def write(table, suffix="parquet"):
        WRITERS[suffix](table, tmp_path / f"data.{suffix}")
        return str(tmp_path / f"data.{suffix}")

    return write


def gathered(module, part):
    return torch.cat([module.sets[name][part] for name in SETS])


# -- what is learned from ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", WRITERS)
def test_files_of_any_kind(write, suffix):
    module = huggingface(write(TABLE, suffix), scaling="none")
    assert (module.spec.input_shape, module.spec.output_size, module.spec.task) == ((6,), 2, "classification")
    rows = gathered(module, 0)[:, 1].int()
    assert sorted(rows.tolist()) == list(range(COUNT))
    assert [["no", "yes"][c] for c in gathered(module, 1)] == TABLE["label"][rows.numpy()].tolist()
    assert gathered(module, 0)[:, 2:].sum(1).unique().tolist() == [1]  # one colour each


def test_columns_are_taken_as_named_and_in_that_order(write):
    module = huggingface(write(TABLE), inputs=["b", "a"], scaling="none")
    torch.testing.assert_close(
        gathered(module, 0)[:, 1], torch.tensor(TABLE["a"].to_numpy()[gathered(module, 0)[:, 0].int()]).float()
    )


def test_numbers_are_standardised_on_the_training_rows(write):
    module = huggingface(write(TABLE), inputs=["a", "b"])
    inputs = module.sets["train"][0]
    torch.testing.assert_close(inputs.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs.std(0, correction=0), torch.ones(2), atol=1e-5, rtol=0)


def test_range_spans_the_training_rows(write):
    inputs = huggingface(write(TABLE), inputs=["a", "b"], scaling="range").sets["train"][0]
    assert inputs.aminmax(dim=0).min.tolist() == pytest.approx([-1, -1], abs=1e-6)
    assert inputs.aminmax(dim=0).max.tolist() == pytest.approx([1, 1], abs=1e-6)


@pytest.fixture
def two_tests(tmp_path):
    """Two folders that differ in their test rows alone, wildly."""
    train = TABLE.assign(value=TABLE["a"] * 3)
    for name, test in {
        "same": train,
        "odd": train.assign(a=1e6, b=-5, colour="violet", value=1e6 + train["a"]),
    }.items():
        (tmp_path / name).mkdir()
        train.to_parquet(tmp_path / name / "train.parquet")
        test.to_parquet(tmp_path / name / "test.parquet")
    return [str(tmp_path / name) for name in ("same", "odd")]


@pytest.mark.parametrize("scaling", ["standardise", "range", "none"])
def test_what_is_said_of_targets_brings_values_back(write, scaling):
    columns = {"inputs": ["b"], "target": ["a"]}
    module = huggingface(write(TABLE), **columns, scaling=scaling)
    plain = huggingface(write(TABLE), **columns, scaling="none")
    said = module.preprocessing()["targets"]
    assert said["columns"] == ["a"]
    back = gathered(module, 1).numpy() * said["scale"] + said["mean"]
    np.testing.assert_allclose(back, gathered(plain, 1), atol=1e-4)


@pytest.mark.parametrize("scaling", ["standardise", "range"])
@pytest.mark.parametrize("target", ["label", "value"])
def test_test_rows_have_no_say(two_tests, scaling, target):
    inputs = ["a", "b", "colour"]
    one, other = (huggingface(path, inputs=inputs, target=target, scaling=scaling) for path in two_tests)
    for name in ("train", "val"):
        assert all(torch.equal(x, y) for x, y in zip(one.sets[name], other.sets[name], strict=True))
    assert not torch.equal(one.sets["test"][0], other.sets["test"][0])
    assert other.sets["test"][0][:, 2:].sum() == 0  # violet is none of the categories


def test_a_category_may_be_a_number(write):
    assert huggingface(write(TABLE), inputs="b", kinds="category", limit=20).spec.input_shape == (20,)


def test_arrays_keep_their_shape(tmp_path):
    features = Features({"x": Array3D((2, 8, 9), "float32"), "label": Value("bool")})
    values = RNG.normal(3, 2, size=(COUNT, 2, 8, 9)).astype(np.float32)
    table = {"x": list(values), "label": [True, False] * 40}
    Dataset.from_dict(table, features=features).to_parquet(tmp_path / "data.parquet")
    module = huggingface(str(tmp_path / "data.parquet"))
    assert module.spec.input_shape == (2, 8, 9)
    torch.testing.assert_close(module.sets["train"][0].mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)


def test_lists_are_features(write):
    module = huggingface(write(pd.DataFrame({"x": list(RNG.normal(size=(COUNT, 5))), "label": TABLE["label"]})))
    assert module.spec.input_shape == (5,)


# -- targets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "task", "size"),
    [
        (np.tile(["x", "y"], 40), "classification", 2),
        (np.tile([True, False], 40), "classification", 2),
        (np.tile([1, 5, 7, 9], 20), "classification", 4),
        (np.tile([1.0, 2.5], 40), "regression", 1),
        (list(RNG.normal(size=(COUNT, 3))), "regression", 3),
    ],
    ids=["text", "bool", "few integers", "fractions", "several"],
)
def test_auto_tells_classes_from_amounts(write, target, task, size):
    module = huggingface(write(pd.DataFrame({"a": TABLE["a"], "label": target})))
    assert (module.spec.task, module.spec.output_size) == (task, size)
    targets = gathered(module, 1)
    assert targets.shape == ((COUNT,) if task == "classification" else (COUNT, size))


def test_auto_asks_where_it_cannot_tell(write):
    refused(r"80 different ones in 80 samples.*task=classification or dataset\.task=reg", path=write(TABLE), target="b")
    assert huggingface(write(TABLE), target="b", task="regression").spec.output_size == 1


def test_several_targets_are_standardised_on_the_training_rows(write):
    module = huggingface(write(TABLE.assign(c=TABLE["a"] * 7 + 2)), inputs="b", target=["a", "c"])
    assert module.spec.output_size == 2
    torch.testing.assert_close(module.sets["train"][1].mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(gathered(module, 1)[:, 0], gathered(module, 1)[:, 1])


def test_class_labels_keep_their_numbers(tmp_path):
    features = Features({"a": Value("float32"), "label": ClassLabel(names=["never", "no", "yes"])})
    Dataset.from_dict({"a": list(range(40)), "label": [1, 2] * 20}, features=features).save_to_disk(tmp_path / "set")
    module = huggingface(str(tmp_path / "set"))
    assert module.spec.output_size == 3
    assert module.sets["train"][1].unique().tolist() == [1, 2]


# -- what cannot be learned -------------------------------------------------------------------------------------------


def test_missing_columns(write):
    path = write(TABLE)
    refused(
        r"no column 'labl' for dataset\.target\. Did you mean 'label'\?.*a, b, colour, label", path=path, target="labl"
    )
    refused(r"no column 'c' for dataset\.inputs\..*a, b", path=path, inputs=["a", "c"])
    refused(r"dataset\.inputs names no column", path=path, inputs=[])


def test_the_target_among_the_inputs(write):
    error = refused(r"both name the column 'label'", path=write(TABLE), inputs=["a", "label"])
    assert isinstance(error, ConfigError)


def test_nothing_but_the_target(write):
    refused(r"no column besides the target label", path=write(TABLE[["label"]]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_numbers_that_are_none(write, bad):
    table = TABLE.assign(a=TABLE["a"].where(TABLE["b"] != 7, bad))
    refused(r"column 'a' (has no value|has values that are missing).* in 1 rows, the first in row", path=write(table))


def test_missing_categories_and_targets(write):
    refused(
        r"'colour' has no value in \d+ rows", path=write(TABLE.assign(colour=TABLE["colour"].where(TABLE["b"] > 9)))
    )
    refused(r"'label' has no value in \d+ rows", path=write(TABLE.assign(label=TABLE["label"].where(TABLE["b"] > 9))))


def test_text_where_numbers_are_asked_for(write):
    refused(r"Regression needs numbers, but the column 'label'", path=write(TABLE), task="regression")
    refused(
        r"'colour' the kind number, which does not suit.*category, text", path=write(TABLE), kinds={"colour": "number"}
    )


def test_types_that_cannot_be_learned_from(write):
    dated = write(TABLE.assign(day=pd.Timestamp("2024-01-01")))
    refused(r"'day' .* type .*timestamp.* cannot be learned from.*Choose from: a, b, colour\.", path=dated)
    refused(r"'day' .* can be no target.*Choose from: a, b, colour, label", path=dated, target="day", inputs="a")
    assert huggingface(dated, inputs=["a", "b"]).spec.input_shape == (2,)


def test_lists_of_unequal_length(write):
    ragged = pd.DataFrame({"x": [[1.0, 2.0]] * 79 + [[1.0]], "label": TABLE["label"]})
    refused(r"'x' of the \w+ set holds arrays of unequal lengths", path=write(ragged))


def test_lists_of_another_length_in_the_test_rows(tmp_path):
    for name, length in (("train", 2), ("test", 3)):
        table = pd.DataFrame({"x": [[1.0] * length] * COUNT, "label": TABLE["label"]})
        table.to_parquet(tmp_path / f"{name}.parquet")
    refused(r"'x' holds arrays of the shape \(3,\) in row 0 of the test set, but of \(2,\)", path=tmp_path)


def test_too_many_categories(write):
    table = pd.DataFrame({"name": [f"n{i}" for i in range(1500)], "label": [0, 1] * 750})
    refused(r"'name' has \d+ different values .*kinds\.name=text", path=write(table), kinds={"name": "category"})


def test_constant_targets_and_single_classes(write):
    refused(r"at least two classes.*only 'yes'", path=write(TABLE.assign(label="yes")))
    refused(r"'label' is the same in all \d+ rows", path=write(TABLE.assign(label=0.5)), task="regression")


def test_classes_that_training_lacks(tmp_path):
    TABLE.to_parquet(tmp_path / "train.parquet")
    TABLE.assign(label="maybe").to_parquet(tmp_path / "test.parquet")
    refused(r"class 'maybe' .* row 0 of the test set is not in the training set, which has 'no', 'yes'", path=tmp_path)


def test_hidden_classes(tmp_path):
    features = Features({"a": Value("float32"), "label": ClassLabel(names=["no", "yes"])})
    sets = {
        name: {"a": list(range(40)), "label": labels} for name, labels in (("train", [0, 1] * 20), ("test", [-1] * 40))
    }
    DatasetDict({name: Dataset.from_dict(table, features=features) for name, table in sets.items()}).save_to_disk(
        tmp_path / "set"
    )
    refused(r"hides its classes \(-1\).*dataset\.test_split=validation", path=tmp_path / "set")


def test_several_classes_a_row(write):
    refused(
        r"one class per row, but dataset\.target names 'label', 'colour'",
        path=write(TABLE),
        target=["label", "colour"],
        task="classification",
    )
