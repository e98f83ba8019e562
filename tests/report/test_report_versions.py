"""Runs of one name that are not of the same data, files or packages are told apart, and a note says so."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import pytest

from hybridopt.execution.contents import TAG
from hybridopt.report.caveats import notes
from hybridopt.report.contributions import contributions
from hybridopt.report.runs import ComparedRun, Comparison, latest
from hybridopt.report.versions import told_apart
from hybridopt.tracking.reading import StoredRun

ADAM = {"plugin strategy": "hybridopt", "plugin dataset": "hybridopt"}


def ran(
    seed: int,
    data: str | None = None,
    found: Mapping[str, str] = ADAM,
    strategy: str = "adam",
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    value: float = 0.5,
) -> ComparedRun:
    own = {"hybridopt.dataset": "arrays", "hybridopt.strategy": strategy, "hybridopt.fingerprint": f"{strategy}{seed}"}
    own |= {"hybridopt.data": data} if data else {}
    own |= {TAG: json.dumps(dict(found))} if found else {}
    metrics = {"final/val/loss": value, "cost/forwards": 10.0}
    record = StoredRun(
        f"{strategy}{seed}{data}{found}", "x", "FINISHED", 0, own | dict(tags or {}), params or {}, metrics
    )
    return ComparedRun(strategy, "arrays", str(seed), record, [(10, value)])


def compared(*runs: ComparedRun, arms: tuple[ComparedRun, ...] = ()) -> Comparison:
    return told_apart(Comparison(list(runs), "loss", False, arms=list(arms)))


def test_two_versions_of_the_data_under_one_name_are_two_data_sets() -> None:
    old = [ran(seed, "a" * 16, strategy=strategy) for strategy in ("adam", "sgd") for seed in (0, 1)]
    both = compared(*old, ran(0, "b" * 16), ran(1, "b" * 16))
    assert both.datasets == ["arrays (data aaaaaaaa)", "arrays (data bbbbbbbb)"]
    assert both.of("sgd", "arrays (data bbbbbbbb)") == {}
    (note,) = (note for note in notes(both) if "versions of the data" in note)
    assert "2 versions of the data under the name arrays: arrays (data aaaaaaaa) (4 runs), arrays (data bbb" in note


def test_data_that_differ_by_their_settings_are_named_by_these() -> None:
    both = compared(*(ran(0, path, params={"dataset.path": path}) for path in ("a.csv", "b.csv")))
    assert both.datasets == ["arrays path=a.csv", "arrays path=b.csv"]


def test_data_that_differ_between_seeds_are_one_data_set() -> None:
    both = compared(*(ran(seed, f"{seed}", strategy=name) for seed in (0, 1) for name in ("adam", "sgd")))
    assert both.datasets == ["arrays"]
    assert any("On arrays the data differ between seeds (2 versions)" in note for note in notes(both))


def test_of_runs_without_a_digest_it_is_said_that_nothing_is_known() -> None:
    both = compared(ran(0, "a"), ran(1, None, found={}))
    assert both.datasets == ["arrays"]
    assert any("Of 1 of 2 runs on arrays it is not known which version" in note for note in notes(both))
    assert not any("version" in note for note in notes(compared(ran(0, None, found={}))))


@pytest.mark.parametrize(
    ("other", "label"),
    [
        (ADAM | {"file model.weights": "2" * 16}, "adam, model.weights 22222222"),
        (ADAM | {"file model.weights": "1" * 16, "plugin strategy": "acme"}, "adam, strategy of acme"),
    ],
)
def test_other_weights_and_other_packages_are_other_arms(other: Mapping[str, str], label: str) -> None:
    first = ran(0, "a", ADAM | {"file model.weights": "1" * 16})
    both = compared(first, ran(0, "a", other))
    assert both.strategies[1] == label
    assert sum("Runs of adam do not compute the same, and are told apart" in note for note in notes(both)) == 1
    assert latest([run.record for run in both.results]) == ([run.record for run in both.results], [])


def test_a_hybrid_is_compared_with_the_arm_that_read_the_same() -> None:
    marks = {"hybridopt.controls": json.dumps({"alone": "sgd0"})}
    hybrids = [ran(0, data, strategy="mix", tags=marks) for data in "ab"]
    arms = tuple(ran(0, data, strategy="sgd", value=value) for data, value in (("b", 0.2), ("a", 0.1)))
    for there, wanted in ((arms, {"arrays (data a)", "arrays (data b)"}), (arms[:1], {"arrays (data b)"})):
        found = contributions(compared(*hybrids, arms=there))
        assert {each.dataset for each in found if not math.isnan(each.forwards[1])} - {"all 2 data sets"} == wanted


def test_versions_of_packages_are_compared_package_by_package() -> None:
    codes = ("a==1 (x), torch==2", "a==1 (x), torch==2, cma==4", "a==1 (y), torch==2; a==2, torch==2")
    both = compared(*(ran(seed, tags={"hybridopt.code": code}) for seed, code in enumerate(codes)))
    (note,) = (note for note in notes(both) if "the code" in note)
    assert note.endswith("differences may be the code's: a 1 (x) (2), 1 (y) (1), 2 (1).")
