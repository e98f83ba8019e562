"""Which rows are trained on, and which are held out; batches from memory and from disk alike."""

from itertools import chain, islice

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from datasets import Dataset, DatasetDict
from hf_layouts import SETS, refused, whole
from hybridopt_huggingface.huggingface import huggingface
from hybridopt_huggingface.mnist import mnist

from hybridopt import DataModule
from hybridopt.core.data import replayable


@pytest.fixture
def path(tmp_path):
    """Numbered rows in three splits, sorted by class, as folders of images are."""
    rows = {"train": (0, 100), "validation": (100, 120), "test": (120, 160)}
    sets = {
        name: Dataset.from_dict({"a": list(range(*span)), "label": [int(i * 2 >= sum(span)) for i in range(*span)]})
        for name, span in rows.items()
    }
    DatasetDict(sets).save_to_disk(tmp_path / "three")
    return str(tmp_path / "three")


def numbers(path, **settings):
    """The rows of each set, by number."""
    module = huggingface(path, scaling="none", **settings)
    return {name: module.sets[name][0][:, 0].int().tolist() for name in SETS}


def test_the_sets_own_splits_are_taken(path):
    assert numbers(path) == {"train": [*range(100)], "val": [*range(100, 120)], "test": [*range(120, 160)]}


def test_parts_and_sums(path):
    sets = numbers(
        path, train_split="train[:50%]+train[90:]", val_split="train[50:60]+train[80:90]", test_split="test[:75%]"
    )
    assert sets["train"] == [*range(50), *range(90, 100)]
    assert sets["val"] == [*range(50, 60), *range(80, 90)]
    assert sets["test"] == [*range(120, 150)]


def test_validation_that_is_the_test_is_not_validation_too(path):
    sets = numbers(path, test_split="validation", val_fraction=0.2)
    assert sets["test"] == [*range(100, 120)]
    assert (len(sets["train"]), len(sets["val"])) == (80, 20)
    assert sorted(sets["train"] + sets["val"]) == [*range(100)]


def test_what_is_not_there_is_carved_out_in_proportion(tmp_path):
    table = pd.DataFrame({"a": range(100), "label": ["x"] * 80 + ["y"] * 20})
    table.to_csv(tmp_path / "data.csv", index=False)
    sets = numbers(str(tmp_path / "data.csv"), val_fraction=0.1, test_fraction=0.3)
    assert [len(sets[name]) for name in SETS] == [60, 10, 30]
    assert sorted(chain(*sets.values())) == [*range(100)]
    assert [sum(number >= 80 for number in sets[name]) for name in SETS] == [12, 2, 6]


def test_the_seed_fixes_the_sets(path):
    def drawn(seed):
        return numbers(
            path, val_split="train[50:]", test_split="train[:10]", train_split="train[10:50]+test", limit=9
        ) | (numbers(path, test_split="validation", split_seed=seed))

    torch.manual_seed(0)
    np.random.seed(0)
    first = drawn(3)
    torch.manual_seed(1)
    np.random.seed(1)
    assert first == drawn(3)
    assert first != drawn(4)


def test_the_limit_is_drawn_from_all_classes(path):
    sets = numbers(path, limit=10)
    assert [len(sets[name]) for name in SETS] == [10, 10, 10]
    assert sum(number >= 50 for number in sets["train"]) == 5
    assert numbers(path, limit=30)["val"] == [*range(100, 120)]


def test_a_limit_below_the_number_of_classes(path):
    assert len(numbers(path, test_split="test", limit=3)["test"]) == 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"train_split": "trian"},
            r"dataset\.train_split='trian' is no split .*train \(100 rows\), validation \(20 rows\)",
        ),
        ({"test_split": "test[10"}, r"dataset\.test_split='test\[10' is no split"),
        (
            {"val_split": "train[:10]"},
            r"train_split='train' and dataset\.val_split='train\[:10\]' share 10 rows of the",
        ),
        ({"test_split": "validation", "val_split": "validation"}, r"share 20 rows of the split 'validation'"),
        ({"test_split": "test[:0]"}, r"The test set is empty: dataset\.test_split='test\[:0\]' has no rows"),
        ({"val_fraction": 0.0}, r"dataset\.val_fraction must lie in \(0, 1\), but is 0"),
        ({"test_fraction": 1.0}, r"dataset\.test_fraction must lie in \(0, 1\), but is 1"),
        ({"split_seed": -1}, r"dataset\.split_seed must be between 0"),
        ({"limit": 0}, r"dataset\.limit must be at least 1"),
        ({"batch_size": 0}, r"dataset\.batch_size must be at least 1"),
        ({"batch_size": 0, "in_memory": False}, r"dataset\.batch_size must be at least 1"),
        ({"batch_size": None, "in_memory": False}, r"dataset\.batch_size must be at least 1 .*is null"),
    ],
)
def test_a_bad_setting(path, settings, says):
    refused(says, path=path, **settings)


def test_an_empty_split(tmp_path):
    full = pd.DataFrame({"a": range(20), "label": [0, 1] * 10})
    full.to_csv(tmp_path / "train.csv", index=False)
    full[:0].to_csv(tmp_path / "test.csv", index=False)
    refused(r"The folder .* cannot be read: the split 'test' has no rows", path=tmp_path)


def test_files_without_rows(tmp_path):
    full = Dataset.from_dict({"a": list(range(20)), "label": [0, 1] * 10})
    DatasetDict({"train": full, "test": full.select([])}).save_to_disk(tmp_path / "set")
    refused(r"set/test/state\.json has no rows", path=tmp_path / "set")
    full.to_pandas()[:0].to_parquet(tmp_path / "none.parquet")
    refused(r"none\.parquet has no rows", path=tmp_path / "none.parquet")


def test_a_split_that_lacks_a_column(tmp_path):
    full = Dataset.from_dict({"a": list(range(20)), "label": [0, 1] * 10})
    DatasetDict({"train": full, "test": full.remove_columns("a")}).save_to_disk(tmp_path / "set")
    refused(r"The test set of .* has no column 'a', but the training set has", path=tmp_path / "set")


def test_too_few_rows(tmp_path):
    pd.DataFrame({"a": range(3), "label": [0, 1, 0]}).to_csv(tmp_path / "data.csv", index=False)
    settings = {"path": tmp_path / "data.csv", "task": "classification"}
    refused(r"3 rows leave nothing to train on", val_fraction=0.5, test_fraction=0.5, **settings)
    refused(r"2 classes, of which 1 has the fewest samples \(1\).*dataset\.test_fraction=0\.2", **settings)


# -- memory and disk --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"scaling": "standardise"}, {"batch_size": 10_000}], ids=str)
def test_memory_and_disk_give_the_same_batches(mnist_folder, settings):
    settings = {"batch_size": 64, **settings}
    one, other = (replayable(mnist(str(mnist_folder), in_memory=way, **settings), seed=5) for way in (True, False))
    assert one.spec == other.spec
    for (x, y), (u, v) in islice(zip(one.train_dataloader(), other.train_dataloader(), strict=True), 16):
        assert torch.equal(x, u)
        assert torch.equal(y, v)
    for name in ("val", "test"):
        assert all(torch.equal(x, u) for x, u in zip(whole(one, name), whole(other, name), strict=True))


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_stream_goes_on_where_it_stopped(mnist_folder, in_memory):
    module = replayable(mnist(str(mnist_folder), batch_size=100, in_memory=in_memory), seed=1)
    stream = module.train_dataloader()
    rest = iter(stream)
    for _ in range(6):
        next(rest)
    again = module.train_dataloader()
    again.load_state_dict(stream.state_dict())
    for (x, _), (u, _) in islice(zip(rest, again, strict=True), 5):
        assert torch.equal(x, u)


def test_epochs_hold_every_row_once_in_another_order(path):
    module = replayable(huggingface(path, scaling="none", batch_size=20), seed=0)
    epochs = torch.stack([x[:, 0] for x, _ in islice(module.train_dataloader(), 10)]).reshape(2, 100)
    assert torch.equal(epochs.sort(1).values, torch.arange(100.0).expand(2, -1))
    assert not torch.equal(epochs[0], epochs[1])


def test_expansion_follows_the_device(mnist_folder):
    module = mnist(str(mnist_folder))
    assert module.expand(module.compact["val"][0].to("meta")).device.type == "meta"


def test_what_does_not_fit_into_memory_is_refused(mnist_folder, monkeypatch):
    free = type("Memory", (), {"available": 400_000})()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    refused(
        r"600 rows would take .* GB of memory, but .* type dataset\.in_memory=false", name="mnist", path=mnist_folder
    )
    assert isinstance(mnist(str(mnist_folder), in_memory=False), DataModule)
    assert len(mnist(str(mnist_folder), limit=100).sets["train"][0]) == 100
