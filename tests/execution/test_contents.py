"""What a job's result depends on besides its config: the contents of files, and the packages of its plugins."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_packages import announce, install, on_path
from test_transaction import QUICK, Composed, resume, stop

from hybridopt.errors import ResumeError
from hybridopt.execution.code import code_version
from hybridopt.execution.contents import changed, contents, files
from hybridopt.execution.identity import digests_of, note_digests
from hybridopt.sweep.places import locate
from hybridopt.sweep.plan import Job
from hybridopt.tracking.provenance import packages_of, source_version

PRETRAINED = """
import torch
from hybridopt.models.mlp import mlp

def pretrained(spec, weights: str = "none"):
    model = mlp(spec, hidden=[4])
    model.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    return model
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with data and weights in it."""
    folder = tmp_path / "work"
    (folder / "images" / "cats").mkdir(parents=True)
    for name in ("a.csv", "b.csv", "kind", "images/cats/1.png", "images/2.png", "images/.cache"):
        (folder / name).write_text(name)
    monkeypatch.chdir(folder)
    return folder


def reading(**settings: Any) -> dict[str, str]:
    """The digests of the files that a data set with these settings names."""
    return files(contents({"dataset": {"name": "arrays", **settings}}))


def edit(path: str | Path, text: str = "edited") -> None:
    Path(path).write_text(text)


@pytest.mark.parametrize(
    ("text", "touched", "differs"),
    [
        ("a.csv", "a.csv", True),
        ("a.csv", "b.csv", False),
        ("images", "images/cats/1.png", True),
        ("images", "images/new.png", True),
        ("images", "images/.cache", False),
        ("*.csv", "b.csv", True),
        ("*.csv", "kind", False),
        (["a.csv", {"of": "b.csv"}], "b.csv", True),
        ("~/a.csv", "a.csv", True),
    ],
)
def test_a_setting_that_names_a_file_stands_for_what_is_in_it(
    text: Any, touched: str, differs: bool, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here))
    before = reading(path=text)
    edit(touched)
    assert before
    assert (reading(path=text) != before) == differs


def test_each_setting_that_names_a_file_has_a_digest_of_its_own(here: Path) -> None:
    """A test set in a file of its own decides the result as the training data do."""
    settings = {"path": "a.csv", "test_path": "b.csv"}
    before = reading(**settings)
    edit("b.csv")
    now = reading(**settings)
    assert [name for name in now if now[name] != before[name]] == ["dataset.test_path"]


def test_what_names_nothing_to_read_has_no_digest(here: Path) -> None:
    (here / "inner").mkdir()
    os.chdir(here / "inner")  # where runs are kept, and above
    settings = {"a": "", "b": "..", "c": ".", "d": "nope.csv", "e": "*", "f": "~nobody/x", "g": "/dev/zero", "h": "\0"}
    assert reading(**settings) == {}
    edit("adam")
    assert files(contents({"strategy": {"name": "adam"}})) == {}


def test_a_file_is_read_once_for_all_jobs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, kind: (read.append(file), real(file, kind))[1])
    monkeypatch.setattr("hybridopt.execution.contents.SETTLED", -1e18)  # as if it had been written long ago
    seen: dict = {}
    for seed in range(100):
        contents({"dataset": {"name": "arrays", "path": "a.csv"}, "seed": seed}, seen)
    for model in ("mlp", "linear"):  # other jobs, and later ones
        contents({"model": {"name": model}, "dataset": {"name": "arrays", "path": str(here / "a.csv")}})
    assert len(read) == 1
    (here / "a.csv").write_text("A.csv")  # as long as before
    os.utime("a.csv", ns=(0, 0))
    reading(path="a.csv")
    assert len(read) == 2


def test_what_is_not_known_has_not_changed() -> None:
    now = {"plugin dataset": "hybridopt", "file dataset.path": "1"}
    assert changed({}, now) == []  # kept by a former version
    assert changed({"setting seed": "2", "data": "3"}, now) == []
    assert changed(now, {"plugin dataset": "hybridopt"}) == []  # the file was deleted since
    assert changed({"plugin dataset": "hybridopt"}, now) == ["dataset.path"]  # it was not there, and now it is
    assert changed(now, now | {"plugin dataset": "acme"}) == ["dataset"]


@pytest.mark.parametrize("what", ["weights", "package"])
def test_a_job_with_other_weights_or_of_another_package_runs_in_a_new_directory(here: Path, what: str) -> None:
    torch.save({}, "weights.pt")
    config = {"model": {"name": "pretrained", "weights": "weights.pt"}}
    first, second = here / "first", here / "second"
    for root, package in ((first, "acme"), (second, "acme" if what == "weights" else "acme-two")):
        root.mkdir()
        install(root, package, PRETRAINED, model={"pretrained": "pretrained"})
    sweep = here / "sweep"
    place = sweep / "job-12345678"
    place.mkdir(parents=True)
    (place / "result.json").write_text("{}")
    with on_path(first):
        note_digests(place, contents(config))
        same = Job([], config, "12345678", "", Path("job-12345678"))
        locate(same, sweep, "failed", {}, {})
    if what == "weights":
        torch.save({"x": torch.ones(1)}, "weights.pt")
    with on_path(second):
        other = Job([], config, "12345678", "", Path("job-12345678"))
        locate(other, sweep, "failed", {}, {})
    assert (same.directory, same.found, list(same.changed)) == (place, "finished", [])
    assert (other.directory, other.found) == (sweep / "job-12345678-2", "new")
    assert other.changed == [{"weights": "model.weights", "package": "model"}[what]]


def test_a_run_does_not_go_on_with_other_weights(composed: Composed, here: Path) -> None:
    torch.save({}, "weights.pt")
    root = here / "packages"
    root.mkdir()
    install(root, "acme", PRETRAINED, model={"pretrained": "pretrained"})
    quick = [override for override in QUICK if not override.startswith("model")]
    with on_path(root):
        directory = stop(composed(*quick, "model=pretrained", "model.weights=weights.pt"), here / "run")
        assert digests_of(directory)["plugin model"] == "acme"
        torch.save({"x": torch.ones(1)}, "weights.pt")
        for _ in ("with its checkpoint", "without"):
            with pytest.raises(ResumeError, match=r"with other contents of model.weights: put .* start_over=true"):
                resume(directory)
            (directory / "checkpoints" / "last.ckpt").unlink(missing_ok=True)
        torch.save({}, "weights.pt")
        assert resume(directory).summary


def test_code_that_no_version_tells_apart_has_a_digest(here: Path) -> None:
    root = here / "packages"
    root.mkdir()
    install(root, "acme", PRETRAINED, model={"pretrained": "pretrained"})
    config = {
        kind: {"name": name} for kind, name in {"dataset": "iris", "objective": "mse", "encoding": "direct"}.items()
    }
    config |= {"strategy": {"name": "adam"}, "model": {"name": "pretrained"}}
    with on_path(root):
        before = packages_of(code_version(config))
        (module,) = root.glob("*.py")
        edit(module, f"{PRETRAINED}# edited")
        source_version.cache_clear()
        after = packages_of(code_version(config))
    assert {"hybridopt", "torch", "numpy", "python"} <= before.keys()
    assert {name for name in before if before[name] != after[name]} == {"acme"}


def test_a_package_is_told_alike_whether_its_plugins_are_used_or_another_package_asks_for_it(here: Path) -> None:
    root = here / "packages"
    root.mkdir()
    install(root, "base", PRETRAINED, model={"pretrained": "pretrained"})
    (module,) = root.glob("*.py")
    announce(root, "above", {"hybridopt.models": {"other": f"{module.stem}:pretrained"}}, extra="Requires-Dist: base\n")
    used = {"dataset": "iris", "objective": "mse", "encoding": "direct", "strategy": "adam"}
    told = []
    with on_path(root):
        for model in ("pretrained", "other"):
            parts = {kind: {"name": name} for kind, name in (used | {"model": model}).items()}
            told.append(code_version(parts))
    assert [code.count("base==") for code in told] == [1, 1]
    assert packages_of(told[0])["base"] == packages_of(told[1])["base"]
    assert "(" in str(packages_of(told[0])["base"])  # a digest of its source, which no version tells apart
