"""Where rows come from: files, patterns, folders, the hub and its cache; one sentence where they do not come."""

import tempfile
import time
from pathlib import Path
from socket import socket

import datasets
import huggingface_hub.constants
import pandas as pd
import pytest
from fake_hub import COMMIT, serving
from hf_layouts import refused
from hybridopt_huggingface import source
from hybridopt_huggingface.huggingface import huggingface
from hybridopt_huggingface.mnist import mnist
from mlflow import MlflowClient

from hybridopt.composition.compose import compose, plain_values
from hybridopt.execution import experiment

TABLE = pd.DataFrame({"a": range(40), "label": [0, 1] * 20})


def sizes(module):
    return {name: len(inputs) for name, (inputs, _) in module.sets.items()}


# -- local files ------------------------------------------------------------------------------------------------------


def test_saved_to_disk(mnist_sets, tmp_path):
    mnist_sets.save_to_disk(tmp_path / "both")
    assert sizes(huggingface(str(tmp_path / "both"))) == {"train": 450, "val": 50, "test": 100}
    mnist_sets["test"].save_to_disk(tmp_path / "one")
    assert sizes(huggingface(str(tmp_path / "one"))) == {"train": 70, "val": 10, "test": 20}


def test_a_pattern_of_files(tmp_path, monkeypatch):
    for number in range(3):
        TABLE.to_csv(tmp_path / f"part{number}.csv", index=False)
    monkeypatch.chdir(tmp_path)
    assert sum(sizes(huggingface("part[12].csv")).values()) == 80


def test_files_by_split(tmp_path):
    TABLE.to_csv(tmp_path / "old.csv", index=False)
    TABLE[:10].to_csv(tmp_path / "new.csv", index=False)
    module = huggingface(str(tmp_path), files={"train": "old.csv", "test": "new.csv"})
    assert sizes(module)["test"] == 10
    assert sum(sizes(huggingface(str(tmp_path), files="*.csv")).values()) == 50


def test_a_changed_file_is_read_anew(tmp_path):
    path = tmp_path / "data.csv"
    TABLE.to_csv(path, index=False)
    huggingface(str(path))
    TABLE[:20].to_csv(path, index=False)
    assert sum(sizes(huggingface(str(path))).values()) == 20


def test_equal_rows_have_one_digest_wherever_they_lie(tmp_path):
    for name, table in {"one": TABLE, "same": TABLE, "other": TABLE.assign(a=TABLE["a"] ** 2)}.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    one, same, other = (huggingface(str(tmp_path / f"{name}.csv")).facts("train") for name in ("one", "same", "other"))
    assert one["digest"] == same["digest"] != other["digest"]
    assert one["path"] == str(tmp_path / "one.csv")
    assert one["samples"] == sizes(huggingface(str(tmp_path / "one.csv")))["train"]


@pytest.mark.parametrize(("in_memory", "folder"), [(True, False), (False, True)])
def test_a_run_on_other_rows_at_the_same_path_has_another_digest_in_mlflow(tmp_path, in_memory, folder):
    place = tmp_path / "data"
    place.mkdir()
    path = place if folder else place / "data.csv"
    found = []
    for table in (TABLE, TABLE, TABLE.assign(a=TABLE["a"] ** 2)):
        table.to_csv(place / "data.csv", index=False)
        found.append(tracked_digests(tmp_path, f"dataset.path={path}", f"dataset.in_memory={in_memory}"))
    assert set(found[0]) == {"training", "validation", "testing"}
    assert len(set(found[0].values())) == 3
    assert found[0] == found[1]
    assert not set(found[0].values()) & set(found[2].values())


def tracked_digests(tmp_path, *overrides):
    """The digests by context that MLflow has of a small run on a data set of the hub's library."""
    quick = ["dataset=huggingface", "dataset.batch_size=16", "model=linear", "strategy=adam", "budget.forwards=300",
             "budget.marks=2", "trainer.enable_progress_bar=false", "tracking.log_model=false"]  # fmt: skip
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    config = plain_values(compose(*quick, *overrides, f"tracking.uri={uri}"))
    result = experiment.run(config, Path(tempfile.mkdtemp(dir=tmp_path)) / "run")
    ran = MlflowClient(uri).get_run(result.run_id)
    assert ran.data.tags["hybridopt.dataset.identified_by"] == "contents"
    return {each.tags[0].value: each.dataset.digest for each in ran.inputs.dataset_inputs}


@pytest.mark.parametrize("path", ["none.csv", "./none", "~/none/at/all", "none/*.parquet", "s3://bucket/none", ""])
def test_a_path_that_is_not_there(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(r"does not exist: give a file \(\.csv, .*, a folder, or a name on the hub", path=path)


def test_another_suffix(tmp_path):
    (tmp_path / "data.xlsx").write_text("x")
    refused(r"data\.xlsx must have one of the suffixes \.csv, .* but has '\.xlsx'", path=tmp_path / "data.xlsx")
    (tmp_path / "data.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    refused(r"data\.pkl must have one of the suffixes", path=tmp_path / "data.pkl")


def test_mixed_suffixes(tmp_path):
    TABLE.to_csv(tmp_path / "data.csv")
    TABLE.to_parquet(tmp_path / "data.parquet")
    refused(r"suffixes .* all the same", path=tmp_path / "data.*")


@pytest.mark.parametrize("suffix", list(source.READERS))
def test_an_empty_file(tmp_path, suffix):
    (tmp_path / f"data{suffix}").touch()
    refused(r"is empty: give a file with at least one row", path=tmp_path / f"data{suffix}")


@pytest.mark.parametrize("suffix", [".parquet", ".json", ".arrow", ".csv"])
def test_a_corrupt_file(tmp_path, suffix):
    (tmp_path / f"data{suffix}").write_bytes(b'PK\x03\x04\xff"\xfe\x00' * 40)
    refused(r"data\.\w+ cannot be read by the datasets library \(.+\): repair", path=tmp_path / f"data{suffix}")


def test_a_folder_without_data(tmp_path):
    refused(r"The folder .* cannot be read .*: give a folder of tables, of images", path=tmp_path)


def test_a_damaged_save(tmp_path):
    (tmp_path / "state.json").write_text("{")
    refused(r"The folder .* cannot be read", path=tmp_path)


def test_no_code_of_a_folder_is_run(tmp_path):
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    refused(r"scripts are no longer supported", path=folder)
    assert not (tmp_path / "ran").exists()


def test_a_revision_of_local_files(tmp_path):
    TABLE.to_csv(tmp_path / "data.csv", index=False)
    refused(r"dataset\.revision='v1' is a commit on the hub, but", path=tmp_path / "data.csv", revision="v1")
    refused(r"dataset\.files is relative to a folder", path=tmp_path / "data.csv", files={"train": "data.csv"})


# -- the hub ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Caches that know nothing of earlier tests."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_without_the_hub(name, caches):
    started = time.monotonic()
    hub = {"mnist": "ylecun/mnist", "fashion_mnist": "zalando-datasets/fashion_mnist", "cifar10": "uoft-cs/cifar10"}
    refused(rf"hub cannot be reached for the data set '{hub[name]}'.*local files.*dataset\.path=folder", name=name)
    assert time.monotonic() - started < 20  # the library alone would ask for 23 seconds and more


def test_a_hub_that_is_silent(monkeypatch):
    """It takes the connection and never answers, as behind some firewalls."""
    with socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        monkeypatch.setattr(source, "PATIENCE", 0.3)
        started = time.monotonic()
        refused(r"hub cannot be reached", path="owner/name")
        assert time.monotonic() - started < 20


def test_what_the_hub_refuses(monkeypatch):
    with serving({"owner/name": {}}) as address:
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", address)
        refused(r"no data set 'owner/nam' on the hub, nor a local path", path="owner/nam")
        refused(r"'owner/name' has no revision 'v9' on the hub", path="owner/name", revision="v9")
        refused(r"owner/name on the hub cannot be read", path="owner/name")
    refused(r"neither a local path nor a name on the hub", path="not a name")


def test_from_the_hub_and_later_from_its_cache(hub, caches, monkeypatch):
    with serving(hub) as address, monkeypatch.context() as online:
        online.setattr(datasets.config, "HF_ENDPOINT", address)
        first = mnist()
    assert sizes(first) == {"train": 450, "val": 50, "test": 100}
    assert first.facts("train")["revision"] == COMMIT
    for revision in (None, COMMIT):
        assert mnist(revision=revision).facts("train") == first.facts("train")
    refused(rf"cache holds 'ylecun/mnist' at the revision {COMMIT}, not f+: ", name="mnist", revision="f" * 40)


def test_variants_of_a_data_set_are_named(hub, caches, monkeypatch):
    with serving(hub) as address:
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", address)
        refused(
            r"uoft-cs/cifar10 on the hub cannot be read .*'fine' not found.*plain_text",
            path="uoft-cs/cifar10",
            config="fine",
        )
