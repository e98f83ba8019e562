"""A study, from the command line to its page: what runs, what does not, and what is refused."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_packages import install, on_path
from hypothesis import given
from hypothesis import strategies as st

from hybridopt import ConfigError, DataError, Judgement, Outcome, Results, Study
from hybridopt.composition import registry
from hybridopt.core.study import Cell, Tuned
from hybridopt.errors import PluginError
from hybridopt.programs import study as program
from hybridopt.study import cells, finding
from hybridopt.study.keeping import keep, load, rounded
from hybridopt.study.page import write
from hybridopt.tracking.reading import Reader

SOURCE = '''
from hybridopt import Arm, Judgement, Profile, Study, Table


class Small(Study):
    """Whether two learning rates differ, and what a number is squared."""

    claim = "They differ."
    said_by = "Nobody."
    rule = "Supported if the first is lower."
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.1, trials=2, sizes={"numbers": [2, 3]}),
        "docs": Profile(seeds=2, minutes=0.1, sizes={"numbers": [2, 3, 4]}),
    }
    curve = "val/loss"
    base = ("dataset=iris", "budget.forwards=2000", "budget.marks=4", "model.hidden=[4]")

    def arms(self, profile):
        return {
            "tuned": Arm(("strategy=adam",), tuned=True),
            "the same": Arm(("strategy=adam",), settings_of="tuned"),
            "slow": Arm(("strategy=adam", "strategy.lr=1e-5")),
        }

    def cells(self, profile):
        return {str(number): {"number": number} for number in profile.sizes["numbers"]}

    def compute(self, number):
        return {"square": number**2}

    def judge(self, results):
        fast, slow = (sum(results.values(arm, "test/loss").values()) for arm in ("tuned", "slow"))
        squares = [cell["square"] for cell in results.cells.values()]
        verdict = "supported" if fast < slow else "refuted"
        return Judgement(verdict, [f"{fast:.3f} and {slow:.3f}, squares {squares}."], [Table(["a"], [["b"]])])

    def draw(self, results):
        from hybridopt.study.drawing import curves, panels

        figure, (axes,) = panels(1)
        curves(axes, results.arms, "val/loss")
        return figure
'''
PACKAGE = "acme-studies"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    install(folder / "site", PACKAGE, SOURCE, study={"small": "Small"})
    return folder / "site"


def typed(*arguments: str, site: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "hybridopt.programs.study", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def ran(site: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Where a study was run, and what that said."""
    folder = tmp_path_factory.mktemp("ran")
    return folder, typed("run", "small", "profile=smoke", site=site, folder=folder)


def test_a_study_leaves_a_verdict_and_a_page(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, said = ran
    assert said.returncode == 0, said.stderr
    assert "small: supported" in said.stdout
    assert re.findall(r"sweep +(\d+)%.*? (\d+) done", said.stderr)[-1] == ("100", "6")  # one bar for trials and arms
    page = (folder / "multirun/study-small-smoke/study/small.md").read_text()
    assert "**supported**" in page
    assert "squares [4, 9]" in page.replace("\\", "")
    assert (folder / "multirun/study-small-smoke/study/small.svg").exists()


def test_arms_have_fresh_seeds_and_tuned_settings(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    results = load(ran[0] / "multirun/study-small-smoke/study/small.json")
    assert {arm: [run.seed for run in runs] for arm, runs in results.arms.items()} == {
        arm: [100, 101] for arm in ("tuned", "the same", "slow")
    }
    assert results.arms["tuned"] == results.arms["the same"]  # the same jobs, which ran once
    assert results.tuned["tuned"].trials == 2
    assert results.tuned["tuned"].forwards > 0
    assert results.forwards > results.tuned["tuned"].forwards
    assert all(len(run.curve) == 4 for run in results.arms["slow"])


def test_the_page_is_in_the_sweeps_run(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    reader = Reader(f"sqlite:///{ran[0] / 'mlflow.db'}")
    sweep = reader.sweep("study-small-smoke")
    assert sweep.tags["hybridopt.study"] == "small"
    assert sweep.tags["hybridopt.verdict"] == "supported"
    assert "They differ." in sweep.tags["mlflow.note.content"]
    listed = [file.path for file in reader.client.list_artifacts(sweep.run_id, "study")]
    assert sorted(listed) == [f"study/small.{kind}" for kind in ("html", "json", "md", "svg")]
    assert "study/small.html" in reader.pages(sweep)["report"]
    arms = [run.tags["hybridopt.arm"] for run in reader.children(sweep) if "hybridopt.arm" in run.tags]
    assert sorted(arms) == ["slow", "slow", "tuned", "tuned"]


def test_again_runs_nothing_and_says_the_same(site: Path, ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = ran
    before = load(folder / "multirun/study-small-smoke/study/small.json")
    again = typed("run", "small", "profile=smoke", site=site, folder=folder)
    assert again.returncode == 0, again.stderr
    assert " ran" not in again.stdout.split("jobs:")[1]
    after = load(folder / "multirun/study-small-smoke/study/small.json")
    assert (after.arms, after.cells, after.tuned) == (before.arms, before.cells, before.tuned)
    for took in ("minutes", "cpu_minutes"):
        assert after.provenance[took] >= before.provenance[took]


def test_a_report_needs_no_run(site: Path, ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = ran
    said = typed("report", "small", "--profile", "smoke", "--out", "again", site=site, folder=folder)
    assert said.returncode == 0, said.stderr
    for kind in ("md", "svg", "json"):
        one = (folder / f"multirun/study-small-smoke/study/small.{kind}").read_bytes()
        assert (folder / f"again/small.{kind}").read_bytes() == one


def test_a_job_that_fails_leaves_no_verdict(site: Path, tmp_path: Path) -> None:
    with on_path(site):
        study = finding.find_study("small")
    results = Results("smoke", arms={"slow": []}, missing=["slow · adam · iris · seed 100"])
    written = write("small", study, results, tmp_path)
    assert written.judgement is None
    assert "**No verdict**: 1 job has not finished." in written.markdown.read_text()
    assert "slow · adam · iris · seed 100" in written.markdown.read_text()


# -- cells ------------------------------------------------------------------------------------------------------------


class Squares(Study):
    """Of numbers, and of nothing else."""

    def __init__(self, given: Any = None):
        self.given = given

    def compute(self, number: int) -> Cell:
        return {"square": number**2 if self.given is None else self.given}

    def judge(self, results: Results) -> Judgement:
        raise ZeroDivisionError("no rule")


ASKED = {"two": {"number": 2}, "three": {"number": 3}}


@pytest.mark.parametrize("workers", [1, 2])
def test_cells_are_computed_once(workers: int, tmp_path: Path) -> None:
    assert cells.compute_all(Squares(), ASKED, tmp_path, workers) == {"two": {"square": 4}, "three": {"square": 9}}
    more = ASKED | {"four": {"number": 4}}
    found = cells.compute_all(Squares("new"), more, tmp_path, workers)
    assert found == {"two": {"square": 4}, "three": {"square": 9}, "four": {"square": "new"}}
    again = cells.compute_all(Squares("newer"), ASKED, tmp_path, workers, again=True)
    assert again == {"two": {"square": "newer"}, "three": {"square": "newer"}}


def test_a_damaged_cell_is_computed_again(tmp_path: Path) -> None:
    cells.compute_all(Squares(), ASKED, tmp_path)
    for file in (tmp_path / "cells").glob("*.json"):
        file.write_text("{ damaged")
    assert cells.compute_all(Squares(), ASKED, tmp_path) == {"two": {"square": 4}, "three": {"square": 9}}


@pytest.mark.parametrize("odd", [math.nan, {1, 2}])
def test_what_json_does_not_hold_is_refused(odd: Any, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="The cell 'two' of Squares cannot be computed"):
        cells.compute_all(Squares(odd), ASKED, tmp_path)


def test_a_rule_that_fails_loses_no_results(tmp_path: Path) -> None:
    results = Results("docs", cells={"two": {"square": 4}})
    with pytest.raises(PluginError, match="hybridopt-study report; nothing has to run again"):
        write("squares", Squares(), results, tmp_path)
    assert load(tmp_path / "squares.json") == rounded(results)


# -- files ------------------------------------------------------------------------------------------------------------

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(st.integers(0, 99), NUMBERS, st.booleans()), max_size=4), NUMBERS)
def test_results_are_kept_as_they_are_judged(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[int, float, bool]], cost: float
) -> None:
    outcomes = [Outcome(seed, {"m": value}, ((1.0, value),), diverged) for seed, value, diverged in runs]
    results = Results(
        "docs", {"a": outcomes}, {"c": {"x": [1, "y", None]}}, {"a": Tuned(["k=1"], 3, abs(cost))}, settings={"x": 1}
    )
    path = keep(rounded(results), tmp_path_factory.mktemp("kept") / "results.json")
    assert repr(load(path)) == repr(rounded(results))  # NaN is not equal to itself
    for one, kept in zip(outcomes, load(path).arms["a"], strict=True):
        assert kept.metrics["m"] == pytest.approx(one.metrics["m"], rel=1e-5, nan_ok=True)


def test_no_results_are_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="hybridopt-study run"):
        load(tmp_path / "nothing.json")


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("override", ["seed=3", "strategy.lr=1", "+model.hidden=[3]", "dataset=wine", "~encoding"])
def test_what_a_study_computes_is_fixed(override: str) -> None:
    with pytest.raises(ConfigError, match="fixes what it runs"):
        finding.refuse_changes([override])


def test_how_it_runs_is_not() -> None:
    finding.refuse_changes(
        ["hydra/launcher=joblib", "tracking=none", "tracking.uri=x", "trainer.accelerator=cpu", "threads=1"]
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "closed_frm"], "closed_form"),
        (["run", "closed_form", "smoke"], "no override"),
        (["run", "closed_form", "strategy.lr=1"], "fixes what it runs"),
        (["run", "headline", "profile=smoke", "suit=small"], "fixes what it runs"),
        (["show", "nothing"], "There is no study called 'nothing'"),
        (["report", "all", "--results", "x"], "name a study"),
        (["report", "closed_form", "--results", "nowhere"], "There are no results"),
    ],
)
def test_a_mistake_is_said_in_a_sentence(arguments: list[str], sentence: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        program.main(arguments)
    assert sentence in str(stopped.value.code)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("", {"list", "show", "run", "report", "completion"}),
        ("show ", set(registry.names("study"))),
        ("run head", {"headline"}),
        ("run headline s", {"suite=", "strategy="}),
        ("run headline prof", {"profile="}),
    ],
)
def test_words_are_completed(
    line: str, offered: set[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_LINE", f"hybridopt-study {line}")
    with pytest.raises(SystemExit):
        program.main(["completions"])
    assert set(capsys.readouterr().out.split()) == offered


def test_the_list_has_every_study(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["list", "--json"])
    assert sorted(json.loads(capsys.readouterr().out)) == sorted(registry.names("study"))
