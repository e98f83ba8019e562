"""The user's own files: what is read, and one sentence for each thing that cannot be."""

import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hybridopt.datasets.arrays import arrays
from hybridopt.errors import ConfigError, DataError, HybridoptError

COUNT = 60
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {"a": RNG.normal(size=COUNT), "b": np.arange(COUNT), "target": np.tile(["no", "yes", "maybe"], 20)}
)
WRITERS = {
    ".csv": lambda table, path: table.to_csv(path, index=False),
    ".parquet": lambda table, path: table.to_parquet(path),
}


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    """Writes a table in each format, and returns its path."""

    def write(table):
        path = tmp_path / f"data{request.param}"
        WRITERS[request.param](table, path)
        return str(path)

    return write


@pytest.fixture
def savez(tmp_path):
    def save(**content):
        np.savez(tmp_path / "data.npz", **content)
        return str(tmp_path / "data.npz")

    return save


def refused(path, says, **settings):
    """Check that it is refused, in one line that matches; return the error."""
    with pytest.raises(HybridoptError, match=says) as caught:
        arrays(path, **settings)
    assert "\n" not in str(caught.value)
    return caught.value


def gathered(module, part):
    return torch.cat([module.sets[name][part] for name in ("train", "val", "test")])


# -- what is read -----------------------------------------------------------------------------------------------------


def test_text_labels_are_numbered_in_sorted_order(write):
    module = arrays(write(TABLE), standardise=False)
    assert (module.spec.input_shape, module.spec.output_size, module.spec.task) == ((2,), 3, "classification")
    rows, classes = gathered(module, 0)[:, 1].int(), gathered(module, 1)
    assert sorted(rows.tolist()) == list(range(COUNT))
    assert [["maybe", "no", "yes"][c] for c in classes] == TABLE["target"][rows.numpy()].tolist()


def test_columns_are_taken_as_named_and_in_that_order(write):
    table = TABLE.assign(c=2 * TABLE["b"])
    module = arrays(write(table), inputs=["c", "b"], standardise=False)
    inputs = gathered(module, 0)
    assert module.spec.input_shape == (2,)
    assert torch.equal(inputs[:, 0], 2 * inputs[:, 1])


def test_a_number_may_name_a_column(write):
    assert arrays(write(TABLE.rename(columns={"target": "2020"})), target=2020).spec.output_size == 3


def test_several_targets_are_regression(write):
    module = arrays(write(TABLE[["a", "b"]].assign(c=TABLE["a"] + 1)), target=["a", "c"], standardise=False)
    assert (module.spec.input_shape, module.spec.output_size, module.spec.task) == ((1,), 2, "regression")
    targets = gathered(module, 1)
    torch.testing.assert_close(targets[:, 0] + 1, targets[:, 1])


def test_a_relative_path_starts_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    TABLE.to_csv("own.csv", index=False)
    assert arrays("own.csv").spec.output_size == 3


@pytest.mark.parametrize("shape", [(), (4,), (5, 3), (1, 8, 8)], ids=str)
def test_npz_keeps_the_shape_of_a_sample(savez, shape):
    path = savez(inputs=RNG.normal(size=(COUNT, *shape)), target=np.arange(COUNT) % 2)
    assert arrays(path).spec.input_shape == (shape or (1,))


def test_npz_keys_are_settings(savez):
    path = savez(x=RNG.normal(size=(COUNT, 3)), y=RNG.normal(size=(COUNT, 2)))
    module = arrays(path, inputs="x", target="y")
    assert (module.spec.output_size, module.spec.task) == (2, "regression")


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float16", "int64"])
def test_npz_numbers_of_any_type_become_floats(savez, dtype):
    inputs = RNG.integers(0, 2, size=(COUNT, 3)).astype(dtype)
    module = arrays(savez(inputs=inputs, target=np.tile(["x", "y"], 30)), standardise=False)
    assert gathered(module, 0).dtype == torch.float32
    assert gathered(module, 0).sum() == inputs.sum()


def test_standardise_is_a_setting(write):
    path = write(TABLE)
    assert gathered(arrays(path), 0)[:, 1].max() < 3
    assert gathered(arrays(path, standardise=False), 0)[:, 1].max() == COUNT - 1


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (np.tile(["x", "y"], 30), "classification"),
        (np.tile([True, False], 30), "classification"),
        (np.tile([1, 5, 7], 20), "classification"),
        (np.tile([1.0, 2.0], 30), "classification"),
        (np.tile([1.0, 2.5], 30), "regression"),
        (RNG.normal(size=(COUNT, 1)), "regression"),
        (np.tile([[0, 1]], (COUNT, 1)) * np.arange(COUNT)[:, None], "regression"),
    ],
    ids=["text", "bool", "few integers", "whole floats", "fractions", "column", "several"],
)
def test_auto_tells_classes_from_amounts(savez, target, task):
    assert arrays(savez(inputs=RNG.normal(size=(COUNT, 2)), target=target)).spec.task == task


def test_auto_asks_where_it_cannot_tell(savez):
    path = savez(inputs=RNG.normal(size=(COUNT, 2)), target=np.arange(COUNT))
    refused(path, r"60 different ones in 60 samples.*dataset\.task=classification or dataset\.task=regression")
    assert arrays(path, task="regression").spec.output_size == 1


def test_task_overrules_the_guess(savez):
    path = savez(inputs=RNG.normal(size=(COUNT, 2)), target=np.tile([1, 2, 3], 20))
    assert arrays(path, task="regression").spec.output_size == 1


def test_missing_values_of_pandas_own_types_are_seen(tmp_path):
    TABLE.assign(b=pd.array([None, *range(1, COUNT)], dtype="Int64")).to_parquet(tmp_path / "data.parquet")
    refused(str(tmp_path / "data.parquet"), r"column 'b' \(1, the first at \[0\]\)")


# -- sets that the files give -----------------------------------------------------------------------------------------


def rows_of(module, name):
    """Which samples of TABLE a set holds, by its column "b"."""
    return sorted(module.sets[name][0][:, -1].int().tolist())


def test_a_file_of_its_own_is_the_test_set(write, tmp_path):
    apart = tmp_path / "apart.csv"
    TABLE[:12].assign(more=1, b=range(100, 112)).to_csv(apart, index=False)
    module = arrays(write(TABLE), test_path=str(apart), standardise=False)
    assert rows_of(module, "test") == list(range(100, 112))
    assert sorted(rows_of(module, "train") + rows_of(module, "val")) == list(range(COUNT))
    assert len(module.sets["val"][0]) == 12
    assert module.sets["test"][1].tolist() == [["maybe", "no", "yes"].index(label) for label in TABLE["target"][:12]]


def test_the_test_file_is_scaled_by_the_training_set(write, tmp_path):
    TABLE[:12].assign(a=1e6).to_csv(tmp_path / "apart.csv", index=False)
    module = arrays(write(TABLE), test_path=str(tmp_path / "apart.csv"))
    assert abs(float(module.sets["train"][0][:, 0].mean())) < 1e-5
    assert float(module.sets["test"][0][:, 0].min()) > 1e5


def test_an_npz_may_have_a_test_file(savez, tmp_path):
    np.savez(tmp_path / "apart.npz", x=np.ones((7, 3)), y=np.arange(7) % 2)
    path = savez(x=np.zeros((COUNT, 3)), y=np.arange(COUNT) % 2)
    module = arrays(path, inputs="x", target="y", test_path=str(tmp_path / "apart.npz"))
    assert len(module.sets["test"][0]) == 7


def test_a_test_file_must_be_like_the_first(savez, tmp_path):
    path = savez(inputs=np.zeros((COUNT, 3)), target=np.arange(COUNT) % 2)
    refused(path, r"are both '.*', so that the test would be on what was learned", test_path=path)
    np.savez(tmp_path / "wide.npz", inputs=np.zeros((9, 4)), target=np.arange(9) % 2)
    refused(path, r"have the shape \(3,\) .*\.test_path \(4,\)", test_path=str(tmp_path / "wide.npz"))
    TABLE.to_csv(tmp_path / "apart.csv", index=False)
    refused(path, "must both be tables", test_path=str(tmp_path / "apart.csv"))
    refused(path, r"dataset\.test_path is 'no\.npz'", test_path="no.npz")
    table = tmp_path / "table.csv"
    TABLE.to_csv(table, index=False)
    TABLE.drop(columns="a").to_csv(tmp_path / "narrow.csv", index=False)
    refused(str(table), r"narrow\.csv has no column 'a'", test_path=str(tmp_path / "narrow.csv"))


PLACES = np.tile(["train", "train", "train", "val", "test"], 12)


def test_a_column_says_which_set_a_sample_is_in(write):
    module = arrays(write(TABLE.assign(part=PLACES)), split="part", standardise=False)
    assert module.spec.input_shape == (2,)
    for name in ("train", "val", "test"):
        assert rows_of(module, name) == np.flatnonzero(name == PLACES).tolist()


def test_a_key_says_it_of_an_npz(savez):
    inputs = np.arange(COUNT)[:, None]
    module = arrays(savez(inputs=inputs, target=np.arange(COUNT) % 2, part=PLACES), split="part", standardise=False)
    assert rows_of(module, "val") == np.flatnonzero(PLACES == "val").tolist()


def test_a_column_and_a_test_file_go_together(write, tmp_path):
    TABLE[:9].to_csv(tmp_path / "apart.csv", index=False)
    test = {"test_path": str(tmp_path / "apart.csv"), "split": "part"}
    part = np.where(PLACES == "test", "train", PLACES)
    module = arrays(write(TABLE.assign(part=part)), **test)
    assert [len(module.sets[name][0]) for name in ("train", "val", "test")] == [48, 12, 9]
    refused(write(TABLE.assign(part=PLACES)), r"column 'part' .* calls 'test': take one", **test)


def test_words_that_name_no_set(write, savez):
    refused(
        write(TABLE.assign(part=np.where(PLACES == "val", "dev", PLACES))), r"column 'part' .* has 'dev'", split="part"
    )
    refused(write(TABLE.assign(part=[None, *PLACES[1:]])), r"has ''", split="part")
    refused(write(TABLE.assign(part="test")), "calls no sample 'train'", split="part")
    refused(write(TABLE), r"no column 'part' for dataset\.split", split="part")
    path = savez(inputs=np.zeros((9, 2)), target=np.arange(9) % 3, part=np.tile("val", 8))
    refused(path, r"9 inputs but 8 values for dataset\.split", split="part")


# -- whole numbers, decimals, images, weights -------------------------------------------------------------------------


def test_tokens_stay_whole(savez):
    tokens = RNG.integers(0, 50_000, size=(COUNT, 7))
    module = arrays(savez(inputs=tokens, target=np.arange(COUNT) % 2), dtype="int64")
    inputs = gathered(module, 0)
    assert inputs.dtype == torch.int64
    assert sorted(map(tuple, inputs.tolist())) == sorted(map(tuple, tokens.tolist()))


def test_targets_beside_whole_numbers_are_standardised(savez):
    path = savez(inputs=np.arange(COUNT)[:, None], target=1000 + RNG.normal(size=COUNT))
    assert abs(arrays(path, dtype="int64").sets["train"][1].mean()) < 1e-3
    assert arrays(path, dtype="int64", standardise=False).sets["train"][1].mean() > 900


def test_whole_numbers_cannot_be_standardised(savez):
    path = savez(inputs=np.zeros((9, 2)), target=np.arange(9))
    refused(path, r"dataset\.dtype=int64 keeps .* dataset\.standardise=true", dtype="int64", standardise=True)


def test_decimals_are_amounts(tmp_path):
    prices = [Decimal(f"{price:.2f}") for price in RNG.integers(1, 900, COUNT) / 7]
    TABLE.assign(target=prices, b=prices).to_parquet(tmp_path / "data.parquet")
    module = arrays(str(tmp_path / "data.parquet"), standardise=False)
    assert (module.spec.task, module.spec.output_size) == ("regression", 1)
    torch.testing.assert_close(gathered(module, 0)[:, 1:], gathered(module, 1))


def test_words_for_missing_values_are_classes(tmp_path):
    TABLE.assign(target=np.tile(["None", "NA", "oak"], 20)).to_csv(tmp_path / "data.csv", index=False)
    assert arrays(str(tmp_path / "data.csv")).spec.output_size == 3


def test_columns_of_one_name_are_refused(tmp_path):
    (tmp_path / "twins.csv").write_text("a,b,b,target\n" + "1,2,3,x\n4,5,6,y\n" * 9)
    refused(str(tmp_path / "twins.csv"), "several columns of the name 'b': give each a name of its own")
    twins = pa.table([[1, 2], [3, 4], ["x", "y"]], names=["b", "b", "target"])
    pq.write_table(twins, tmp_path / "twins.parquet")
    refused(str(tmp_path / "twins.parquet"), "several columns of the name 'b'")


@pytest.mark.parametrize("separator", [";", "\t"])
def test_fields_that_no_comma_separates(separator, tmp_path):
    TABLE.to_csv(tmp_path / "data.csv", index=False, sep=separator)
    refused(str(tmp_path / "data.csv"), f"separated by {re.escape(repr(separator))}: write it with commas")


def test_channels_come_to_the_front(savez):
    images = RNG.normal(size=(COUNT, 8, 9, 3))
    path = savez(inputs=images, target=np.arange(COUNT) % 2)
    refused(path, r"looks like images .* say dataset\.channels=last")
    assert arrays(path, channels="first").spec.input_shape == (8, 9, 3)
    module = arrays(path, channels="last", standardise=False)
    assert module.spec.input_shape == (3, 8, 9)
    assert sorted(gathered(module, 0)[:, 2, 7, 5].tolist()) == sorted(images[:, 7, 5, 2].astype(np.float32).tolist())


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({}, 0.25),
        ({"class_weights": "balanced"}, 0.5),
        ({"class_weights": {"rare": 9}}, 0.75),
        ({"sample_weight": "weight"}, 0.0),
    ],
)
def test_what_weighs_more_is_trained_on_more(settings, share, tmp_path):
    rare = np.tile([True, False, False, False], 60)
    table = pd.DataFrame({"a": RNG.normal(size=240), "target": np.where(rare, "rare", "often")})
    table.assign(weight=np.where(rare, 0, 0.3)).to_csv(tmp_path / "data.csv", index=False)
    module = arrays(str(tmp_path / "data.csv"), inputs="a", batch_size=None, **settings)
    _, targets = next(iter(module.train_dataloader()))
    assert float(targets.float().mean()) == pytest.approx(share, abs=0.01)
    assert all(float(module.sets[name][1].float().mean()) == 0.25 for name in ("val", "test"))


def test_weights_that_are_none(write):
    refused(
        write(TABLE.assign(w=-1.0)),
        r"dataset\.sample_weight must be at least 0 .* between -1 and -1",
        sample_weight="w",
    )
    refused(write(TABLE.assign(w="heavy")), r"column 'w' \(such as 'heavy'\)", sample_weight="w")
    refused(write(TABLE), r"names 'nope', which is no class", class_weights={"nope": 2})


# -- files that cannot be read ----------------------------------------------------------------------------------------


def test_missing_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path / "none.csv") in str(refused("none.csv", "does not exist"))


def test_folder(tmp_path):
    refused(str(tmp_path), "is a folder")


def test_unknown_suffix(tmp_path):
    (tmp_path / "data.xlsx").write_text("x")
    refused(str(tmp_path / "data.xlsx"), r"suffix '\.xlsx', but must be a \.npz, \.csv or \.parquet")


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_empty_file(tmp_path, suffix):
    (tmp_path / f"data{suffix}").touch()
    refused(str(tmp_path / f"data{suffix}"), "is empty")


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_corrupt_file(tmp_path, suffix):
    (tmp_path / f"data{suffix}").write_bytes(b'PK\x03\x04\xff"\xfe\x00' * 40)
    refused(str(tmp_path / f"data{suffix}"), rf"cannot be read as a \{suffix} file")


def test_damaged_npz(tmp_path, savez):
    path = tmp_path / savez(inputs=np.zeros((COUNT, 50)), target=np.arange(COUNT) % 2)
    content = bytearray(path.read_bytes())
    content[2000] ^= 0xFF
    path.write_bytes(content)
    refused(str(path), r"cannot be read as a \.npz file")


def test_bare_array(tmp_path):
    with (tmp_path / "data.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    refused(str(tmp_path / "data.npz"), "one bare array.*numpy.savez")


def test_pickled_objects_are_not_loaded(savez):
    refused(savez(inputs=np.array([{}] * 9, dtype=object), target=np.zeros(9)), r"Array 'inputs' .* holds pickled")


# -- contents that cannot be learned from -----------------------------------------------------------------------------


def test_no_rows(write):
    refused(write(TABLE[:0]), "has no rows")


@pytest.mark.parametrize("empty", [np.zeros((0, 3)), np.float64(3.0), np.zeros((5, 0))], ids=["no", "scalar", "hollow"])
def test_empty_array(savez, empty):
    refused(savez(inputs=empty, target=np.zeros(5)), r"'inputs' .* has the shape .* at least one sample")


def test_wrong_column(write):
    refused(
        write(TABLE), r"no column 'targt' for dataset\.target\. Did you mean 'target'\?.*a, b, target", target="targt"
    )
    refused(write(TABLE), r"no column 'c' for dataset\.inputs\..*a, b, target", inputs=["a", "c"])


def test_wrong_key(savez):
    path = savez(x=np.zeros((9, 2)), y=np.arange(9))
    refused(path, r"no array 'inputs' for dataset\.inputs\..*x, y")
    refused(path, r"no array 'target' for dataset\.target\..*x, y", inputs="x")


def test_list_of_keys(savez):
    refused(savez(x=np.zeros((9, 2)), y=np.arange(9)), r"dataset\.inputs must be one key", inputs=["x", "y"])


def test_no_columns_named(write):
    refused(write(TABLE), r"dataset\.inputs names no column", inputs=[])
    refused(write(TABLE), r"dataset\.target names no column", target=None)


def test_nothing_but_the_target(write):
    refused(write(TABLE[["target"]]), "no column besides the target")


def test_target_among_the_inputs(write):
    error = refused(write(TABLE), r"both name the column 'target'", inputs=["a", "target"])
    assert isinstance(error, ConfigError)


def test_saved_row_index(tmp_path):
    TABLE.to_csv(tmp_path / "data.csv")
    refused(str(tmp_path / "data.csv"), r"without a name.*index=False.*dataset\.inputs")
    assert arrays(str(tmp_path / "data.csv"), inputs=["a", "b"]).spec.input_shape == (2,)


def test_lengths_that_differ(savez):
    refused(savez(inputs=np.zeros((9, 2)), target=np.arange(8)), "9 inputs but 8 targets")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_none(write, savez, bad):
    table = TABLE.assign(a=TABLE["a"].where(TABLE["b"] > 2, bad))
    refused(write(table), r"column 'a' \(3, the first at \[0\]\)")
    inputs = RNG.normal(size=(COUNT, 4))
    inputs[5, 2] = bad
    refused(savez(inputs=inputs, target=TABLE["target"].to_numpy(str)), r"array 'inputs' \(1, the first at \[5, 2\]\)")


def test_missing_targets(write):
    refused(write(TABLE.assign(target=TABLE["target"].where(TABLE["b"] > 3))), r"'target' .* no label in 4 of 60")
    refused(write(TABLE.assign(target=TABLE["a"].where(TABLE["b"] > 3))), r"column 'target' \(4, ")


def test_text_among_the_inputs(write):
    colours = TABLE.assign(colour="red", size=["?", *map(str, range(COUNT - 1))])
    refused(write(colours), r"column 'colour' \(such as 'red'\), 'size' \(such as '\?'\).*dataset\.inputs")
    assert arrays(write(colours), inputs=["a", "b"]).spec.input_shape == (2,)


def test_text_in_an_array(savez):
    refused(
        savez(inputs=np.array([["1", "x"]] * 9), target=np.arange(9)),
        r"array 'inputs' \(such as 'x'\)",
        task="regression",
    )


def test_text_as_a_regression_target(write):
    refused(write(TABLE), r"column 'target' \(such as 'no'\)", task="regression")


def test_dates_are_no_numbers(tmp_path):
    TABLE.assign(day=pd.Timestamp("2024-01-01")).to_parquet(tmp_path / "data.parquet")
    refused(str(tmp_path / "data.parquet"), r"column 'day'")


def test_one_hot_targets(savez):
    path = savez(inputs=np.zeros((9, 2)), target=np.eye(9))
    refused(path, r"one label per sample.*\(9, 9\).*argmax", task="classification")


@pytest.mark.parametrize("dtype", ["complex64", "M8[D]", [("a", int)]], ids=str)
def test_targets_that_are_neither_numbers_nor_text(savez, dtype):
    refused(savez(inputs=np.zeros((9, 2)), target=np.zeros(9, dtype=dtype)), r"numbers or text, but the array 'target'")


def test_regression_targets_with_too_many_dimensions(savez):
    refused(savez(inputs=np.zeros((9, 2)), target=RNG.normal(size=(9, 2, 2))), r"\(samples, outputs\).*\(9, 2, 2\)")


def test_one_class(write):
    refused(write(TABLE.assign(target="yes")), r"at least two classes.*\['yes'\]")


def test_a_class_with_too_few_members(write):
    rare = TABLE.assign(target=["rare"] + ["a", "b"] * 29 + ["a"])
    assert isinstance(refused(write(rare), r"'rare' has the fewest samples \(1\)"), DataError)
