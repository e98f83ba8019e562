"""Reports on sweeps in a real store: what they say, that they say it again, and what they refuse."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag

from hybridopt.errors import ConfigError, TrackingError
from hybridopt.execution import experiment
from hybridopt.report.make import make_report
from hybridopt.report.said import NEEDED, OPTIONAL
from hybridopt.tracking.reading import Reader
from hybridopt.tracking.store import ensure_experiment, prepare_store

MARKS = range(100, 1001, 100)


class Store:
    """A store with one sweep, whose runs are made up."""

    def __init__(self, folder: Path, template: Path):
        shutil.copy(template, folder / "mlflow.db")
        self.uri = prepare_store(f"sqlite:///{folder}/mlflow.db")
        self.client = MlflowClient(self.uri)
        self.experiment = ensure_experiment(self.client, "hybridopt")
        tags = {"hybridopt.kind": "sweep", "hybridopt.sweep": "made"}
        self.parent = self.client.create_run(self.experiment, tags=tags, run_name="sweep made").info.run_id

    def add(
        self,
        strategy: str,
        seed: int,
        best: float,
        *,
        dataset: str = "digits",
        status: str = "FINISHED",
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        marks: range = MARKS,
    ) -> str:
        """A run whose validation accuracy grows to ``best``."""
        named = {"strategy": strategy, "dataset": dataset, "seed": str(seed), "sweep": "made"}
        own = {f"hybridopt.{key}": value for key, value in named.items()} | {"mlflow.parentRunId": self.parent}
        own |= {"hybridopt.fingerprint": f"{strategy}{dataset}{seed}{params}"} | dict(tags or {})
        own |= {"hybridopt.directions": json.dumps({"val/accuracy": True, "val/loss": False})}
        run = self.client.create_run(self.experiment, tags=own, run_name=f"{strategy} · {dataset} · seed {seed}")
        run_id = run.info.run_id
        points = [Metric("val/accuracy", best * step / marks[-1], 0, step) for step in marks]
        points += [Metric("cost/seconds", step / 100, 0, step) for step in marks]
        points += [Metric(name, value, 0, marks[-1]) for name, value in {
            "test/accuracy": best - 0.001, "final/val/accuracy": best, "cost/forwards": marks[-1],
            "cost/peak_memory_mb": 100.0}.items()]  # fmt: skip
        self.client.log_batch(run_id, metrics=points, tags=[RunTag("hybridopt.machine", "a")])
        for key, value in {"budget.forwards": str(float(marks[-1])), **(params or {})}.items():
            self.client.log_param(run_id, key, value)
        self.client.set_terminated(run_id, status)
        return run_id

    def report(self, out: Path, **settings: Any):
        return make_report(self.uri, "made", out=out, **settings)


@pytest.fixture
def store(tmp_path: Path, template: Path) -> Store:
    return Store(tmp_path, template)


def test_a_clear_winner_is_called_one(store: Store, tmp_path: Path) -> None:
    for seed in range(8):
        store.add("good", seed, 0.95 + seed / 1000)
        store.add("bad", seed, 0.80 + seed / 900)
    report = store.report(tmp_path / "out")
    assert "good is better than bad in test/accuracy: 0.953 against 0.803 in the mean" in report.text
    assert "a difference of 0.15 (95 % CI 0.149 to 0.15). A run of good is better than one of bad" in report.text
    assert "with a probability of 1.00 (p = 0.00016, 8 seeds)" in report.text
    assert report.aggregates["good.digits/test/accuracy/median"] == pytest.approx(0.9525)


def test_too_few_seeds_are_told_how_many_it_takes(store: Store, tmp_path: Path) -> None:
    for seed in range(3):
        store.add("good", seed, 0.95 + seed / 1000)
        store.add("bad", seed, 0.80)
    text = store.report(tmp_path / "out").text
    assert "With 3 seeds no pair can be told apart, however large the difference: at least 4 are needed." in text
    assert "do not decide" not in text
    assert "| 3 | not decided; about 4 seeds would tell |" in text


def test_pairs_of_too_few_seeds_are_named_beside_others_alone(store: Store, tmp_path: Path) -> None:
    for seed in range(8):
        store.add("good", seed, 0.95 + seed / 1000)
        store.add("bad", seed, 0.80 + seed / 990)
    for strategy in ("rare", "odd"):
        for seed in range(2):
            store.add(strategy, seed, 0.7)
    text = store.report(tmp_path / "out").text
    assert "good is better than bad" in text
    assert "With 2 seeds some pairs cannot be told apart among 6 comparisons, however large the difference: " in text
    assert "at least 5 are needed: good and rare on digits; good and odd on digits; bad and rare on digits; " in text
    assert text.count("cannot be told apart") == 1


def test_noise_is_told_how_many_seeds_it_would_take(store: Store, tmp_path: Path) -> None:
    for seed in range(8):
        store.add("a", seed, 0.9 + 0.01 * (seed % 3))
        store.add("b", seed, 0.9 + 0.01 * ((seed + 1) % 3) + 0.001)
    text = store.report(tmp_path / "out").text
    assert "these runs do not decide between a and b." in text
    assert "seeds would tell" in text


def test_a_diverged_run_is_the_worst_of_its_data_set(store: Store, tmp_path: Path) -> None:
    for seed in range(6):
        store.add("steady", seed, 0.5 + seed / 1000)
        store.add("wild", seed, math.nan if seed < 4 else 0.9 + seed / 1000)
    report = store.report(tmp_path / "out", attach=False)
    text = report.markdown.read_text()
    assert "On digits, 4 of 6 runs of wild diverged to numbers that are not finite" in text
    assert "(wild · digits · seed 0, wild · digits · seed 1, wild · digits · seed 2, wild · digits · seed 3)" in text
    assert "4 of 6 runs of wild diverged" in report.text, "and so does the sweep's page"
    assert "| wild | 6 | diverged | diverged | " in text
    assert "| steady - wild | " in text
    assert "| 0.67 | " in text, "four of six runs of wild are below all of steady"
    assert "wild.digits/test/accuracy/median" not in report.aggregates


def test_one_diverged_run_does_not_cost_a_verdict(store: Store, tmp_path: Path) -> None:
    for seed in range(10):
        store.add("good", seed, 0.95 + seed / 1000)
        store.add("bad", seed, math.nan if seed == 0 else 0.8 + seed / 900)
    text = store.report(tmp_path / "out", attach=False).text
    assert "good is better than bad" in text
    assert "; 1 of 10 runs of bad diverged and counts as the worst)." in text


def test_what_always_diverges_loses_and_by_no_number(store: Store, tmp_path: Path) -> None:
    """The worst that did not diverge is no measure of how bad the others are: there is no mean to compare."""
    for seed in range(6):
        store.add("steady", seed, 0.93 + seed / 100)
        store.add("wild", seed, math.nan)
    report = store.report(tmp_path / "out", attach=False)
    assert "On digits, steady is better than wild in test/accuracy: a run of steady is better" in report.text
    assert "by ranks, 6 seeds; 6 of 6 runs of wild diverged and count as the worst)." in report.text
    assert "| steady - wild | - | 1.00 | " in report.markdown.read_text()


def test_many_ties_do_not_name_the_loser(store: Store, tmp_path: Path) -> None:
    for seed in range(20):
        store.add("a", seed, 1.0)
        store.add("b", seed, 1.0 if seed < 11 else 0.9)
    text = store.report(tmp_path / "out", attach=False).text
    assert "a is better than b in test/accuracy: 0.999 against 0.954 in the mean" in text
    assert "(p = 0.0039, 20 seeds)" in text


def test_the_same_runs_give_the_same_report(store: Store, tmp_path: Path) -> None:
    for seed in range(4):
        store.add("good", seed, 0.95 + seed / 1000)
        store.add("bad", seed, 0.8, dataset="digits")
        store.add("good", seed, 0.7, dataset="wine")
        store.add("bad", seed, 0.75, dataset="wine")
    first, second = (store.report(tmp_path / name, attach=False) for name in ("one", "two"))
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name
    assert first.text == second.text


def test_it_is_attached_to_the_sweep(store: Store, tmp_path: Path) -> None:
    for seed in range(2):
        store.add("good", seed, 0.95)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "private.txt").write_text("of the user's")
    store.report(tmp_path / "out")
    parent = store.client.get_run(store.parent)
    assert parent.data.metrics["good.digits/test/accuracy/median"] == pytest.approx(0.949)
    assert "| good |" in parent.data.tags["mlflow.note.content"]
    assert {Path(each.path).name for each in store.client.list_artifacts(store.parent, "report")} == {
        "report.html", "report.md", "curves_digits.svg",
    }  # fmt: skip


def test_the_page_stands_alone(store: Store, tmp_path: Path) -> None:
    store.add("good", 0, 0.95)
    page = store.report(tmp_path / "out", attach=False).html.read_text()
    assert "<table>" in page
    assert 'src="data:image/svg+xml;base64,' in page
    assert ".svg" not in page


def test_it_says_what_was_run(store: Store, tmp_path: Path) -> None:
    store.client.set_tag(store.parent, "hybridopt.command", "hybridopt -m seeds=2 'strategy.x=[1,2]'")
    for seed, lr in enumerate(("1000000000.0", "0.5")):
        tags = {"mlflow.source.git.commit": "abc", "hybridopt.hardware": "a fast one", "hybridopt.host": f"h{seed}"}
        tags |= {"hybridopt.uncommitted": "yes"} if seed else {}
        settings = {
            "strategy.name": "good",
            "strategy.lr": lr,
            "model.name": "mlp",
            "model.hidden": "[16]",
            "seed": str(seed),
        }
        store.add("good", seed, 0.95, tags=tags, params=settings | {"objective.name": "l1", "trainer.profiler": "None"})
    text = store.report(tmp_path / "out", attach=False).markdown.read_text()
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]*) \|$", text, re.MULTILINE))
    assert rows["command"] == "hybridopt -m seeds=2 'strategy.x=\\[1,2\\]'"
    assert rows["model"] == "mlp, hidden=\\[16\\]"
    assert rows["objective"] == "l1"
    assert rows["budget"] == "forwards=1000"
    assert rows["good"] == "good, lr=1e+09 / 0.5"
    assert rows["commit"] == "abc, and changes that were not committed"
    assert (rows["hardware"], rows["machine"]) == ("a fast one", "h0 / h1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC( to .*)?", rows["date"])
    assert "trainer" not in rows, "it was left as it is"


def test_unreached_targets_cost_what_was_spent_in_vain(store: Store, tmp_path: Path) -> None:
    for seed, best in enumerate((1.0, 1.0, 0.4)):
        store.add("a", seed, best)
    text = store.report(tmp_path / "out", target=0.5, attach=False).markdown.read_text()
    assert "forwards to 0.5" in text
    assert "| 1,000 (" in text  # (500 + 500 + 1000) / 2
    assert "0.667 (" in text


@pytest.mark.parametrize("status", ["FAILED", "KILLED", "RUNNING"])
def test_a_run_that_did_not_finish_is_told_and_not_counted(store: Store, tmp_path: Path, status: str) -> None:
    store.add("good", 0, 0.95)
    store.add("good", 1, 0.1, status=status)
    text = store.report(tmp_path / "out", attach=False).markdown.read_text()
    assert f"1 of the runs is {status} and counts for nothing here: good · digits · seed 1." in text
    assert "1 run of 1 strategy" in text


def test_of_two_runs_of_one_config_the_later_counts(store: Store, tmp_path: Path) -> None:
    store.add("good", 0, 0.5)
    store.add("good", 0, 0.9)
    report = store.report(tmp_path / "out", attach=False)
    assert report.aggregates["good.digits/val/accuracy/median"] == pytest.approx(0.9)
    assert "Nothing to note" in report.markdown.read_text()


def test_different_budgets_compare_up_to_the_smallest(store: Store, tmp_path: Path) -> None:
    store.add("short", 0, 0.9, marks=range(100, 501, 100))
    store.add("long", 0, 0.9)
    report = store.report(tmp_path / "out", attach=False)
    assert report.aggregates["long.digits/val/accuracy/median"] == pytest.approx(0.45)
    assert "compared in val/accuracy at the common budget" in report.text
    assert "have spent between 500 and 1,000 forwards" in report.markdown.read_text()


def test_two_settings_of_one_strategy_are_two(store: Store, tmp_path: Path) -> None:
    for lr in ("0.1", "0.2"):
        store.add("sgd", 0, 0.9, params={"strategy.lr": lr})
    names = store.report(tmp_path / "out", attach=False).aggregates
    assert {name.split(".digits")[0] for name in names} == {"sgd lr_0.1", "sgd lr_0.2"}


def test_what_a_reader_should_know_is_noted(store: Store, tmp_path: Path) -> None:
    store.add("a", 0, 0.9, tags={"hybridopt.code": "1", "hybridopt.host": "x", "hybridopt.tuning_trials": "20"})
    store.add("b", 0, 0.9, tags={"hybridopt.code": "2", "hybridopt.host": "y"})
    store.add("b", 1, 0.9, tags={"hybridopt.code": "2", "hybridopt.host": "y"})
    _, text = store.report(tmp_path / "out", attach=False).markdown.read_text().split("## Threats to validity")
    assert "different versions of the code, so that differences may be the code's: code 1 (1), 2 (2)." in text
    assert "different machines, so that seconds and memory do not compare: x (1), y (2)." in text
    assert "The strategies were not tuned alike (trials: a 20, b 0)." in text
    assert "only common ones are paired" in text


def test_trials_are_not_compared(store: Store, tmp_path: Path) -> None:
    store.add("a", 0, 0.9, tags={"hybridopt.tuning_trials": "2", "hybridopt.tuning_forwards": "2000"})
    store.add("a", 1000, 0.1, tags={"hybridopt.role": "trial"})
    report = store.report(tmp_path / "out", attach=False)
    assert report.aggregates["a.digits/val/accuracy/median"] == pytest.approx(0.9)
    assert "tuned by 2 trials on a data set; this cost, in forwards: a 2,000." in report.markdown.read_text()


def test_control_arms_are_compared_with_their_hybrid_alone(store: Store, tmp_path: Path) -> None:
    for seed in range(8):
        marks = {"with a random mask": f"random{seed}", "without the search": f"adam{seed}"}
        store.add("ticket", seed, 0.95 + seed / 1000, tags={"hybridopt.controls": json.dumps(marks)})
        store.add("adam", seed, 0.95 + seed / 1000, tags={"hybridopt.fingerprint": f"adam{seed}"})
        own = {"hybridopt.fingerprint": f"random{seed}", "hybridopt.role": "control"}
        store.add("ticket", seed, 0.80 + seed / 900, tags=own)
    report = store.report(tmp_path / "out")
    text = report.markdown.read_text()
    assert "16 runs of 2 strategies on digits, 8 seeds each" in text
    assert "ticket on digits: with a random mask, the result is worse by 0.15 (95 % CI 0.149 to 0.15)" in text
    assert "ticket on digits: without the search, the result is the same (p = 1, 8 seeds; the difference in" in text
    assert "| ticket, with a random mask | 0.15 (0.149 to 0.15) | 1.00 | 0.00031 | 8 | 1,000 / 1,000 | worse |" in text
    assert "Nothing to note" in text
    assert {name.split(".digits")[0] for name in report.aggregates} == {"ticket", "adam"}
    note = store.client.get_run(store.parent).data.tags["mlflow.note.content"]
    assert "with a random mask, the result is worse by 0.15" in note


def test_ranks_are_drawn_for_many_data_sets(store: Store, tmp_path: Path) -> None:
    for number in range(5):
        for strategy, best in (("a", 0.9), ("b", 0.8 + number / 100), ("c", 0.7 + number / 50)):
            store.add(strategy, 0, best, dataset=f"set{number}")
    store.report(tmp_path / "out", attach=False)
    assert (tmp_path / "out" / "ranks.svg").stat().st_size > 5000


def test_what_is_not_there_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="Sweep made has no finished run to report on"):
        store.report(tmp_path / "out")
    with pytest.raises(TrackingError, match=r"There is no sweep 'mede' .* Did you mean 'made'\?"):
        make_report(store.uri, "mede", out=tmp_path / "out")
    store.add("a", 0, 0.9)
    with pytest.raises(ConfigError, match="no metric 'f1' in common: choose from accuracy"):
        store.report(tmp_path / "out", metric="f1")
    with pytest.raises(TrackingError, match=r"There is no experiment 'hybrid'.*Did you mean 'hybridopt'\?"):
        make_report(store.uri, None, out=tmp_path / "out", experiment="hybrid")


def test_an_experiment_can_be_reported_on(store: Store, tmp_path: Path) -> None:
    store.add("a", 0, 0.9)
    report = make_report(store.uri, None, out=tmp_path / "out", experiment="hybridopt")
    assert report.markdown.read_text().startswith("# Experiment hybridopt")


def test_runs_of_the_program_are_reported_on(
    store: Store, composed: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    for strategy in ("adam", "lottery_ticket"):
        for seed in range(2):
            config = composed(
                f"strategy={strategy}", f"seed={seed}", "dataset=iris", "dataset.batch_size=16", "model.hidden=[4]",
                "budget.forwards=2e4", "budget.marks=5", f"tracking.uri={store.uri}", "tracking.log_model=false",
                "trainer.enable_progress_bar=false",
            )  # fmt: skip
            experiment.run(config, tmp_path / f"{strategy}{seed}", store.parent)
    text = store.report(tmp_path / "out").markdown.read_text()
    assert "4 runs of 2 strategies on iris, 2 seeds each, compared in test/accuracy; higher is better." in text
    run = store.client.search_runs([store.experiment], "tags.`hybridopt.strategy` = 'lottery_ticket'")[0]
    assert json.loads(run.data.tags["hybridopt.phases"]) == ["search", "finetune"]
    assert run.data.metrics["phase/search/forwards"] < run.data.metrics["cost/forwards"]


def test_runs_that_diverge_are_reported_on(
    store: Store, composed: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    for lr in (100, 0.01):
        for seed in range(2):
            config = composed(
                "strategy=sgd", f"strategy.lr={lr}", f"seed={seed}", "dataset=diabetes", "objective=mse",
                "budget.forwards=6e3", f"tracking.uri={store.uri}", "tracking.log_model=false",
                "trainer.enable_progress_bar=false",
            )  # fmt: skip
            result = experiment.run(config, tmp_path / f"{lr} {seed}", store.parent)
            assert math.isfinite(result.summary["best/val/r2"])
    text = store.report(tmp_path / "out").markdown.read_text()
    assert "On diabetes, 2 of 2 runs of sgd lr=100 diverged" in text
    assert "| sgd lr=100 | 2 | diverged | diverged | never |" in text


@pytest.mark.slow
def test_the_program_prints_the_short_version(store: Store, tmp_path: Path) -> None:
    store.add("good", 0, 0.95)
    call = [sys.executable, "-c", "from hybridopt.programs.report import main; main()"]
    run = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 120, "check": False}
    done = subprocess.run([*call, "--uri", store.uri, "--no-attach"], **run)
    assert done.returncode == 0, done.stderr
    assert "good" in done.stdout
    assert (tmp_path / "report" / "report.html").exists()
    wrong = subprocess.run([*call, "nothing", "--uri", store.uri], **run)
    assert wrong.returncode == 1
    assert "There is no sweep 'nothing'" in wrong.stderr
    assert "Traceback" not in wrong.stderr


ODD = ("", "x", "[", "[1]", "null", "-1", "nan", '{"a": "b"}', "1e400")


def test_tags_that_were_changed_or_taken_away_cost_no_report(store: Store, tmp_path: Path) -> None:
    tags = ["hybridopt." + tag for tag in (*NEEDED, *OPTIONAL, "fingerprint", "role", "sweep")]
    runs = [store.add(strategy, seed, 0.9 + seed / 100) for strategy in ("a", "b") for seed in range(5)]
    for position, run_id in enumerate([*runs, store.parent]):
        for number, tag in enumerate(tags):
            if run_id != store.parent or tag != "hybridopt.sweep":
                store.client.set_tag(run_id, tag, ODD[(position + number) % len(ODD)])
    text = store.report(tmp_path / "odd", attach=False).markdown.read_text()
    assert "10 of the runs have tags that were taken away or changed (hybridopt.controls" in text
    for run_id in [*runs, store.parent]:
        for tag in store.client.get_run(run_id).data.tags.keys() & set(tags):
            store.client.delete_tag(run_id, tag)
    report = make_report(store.uri, out=tmp_path / "none", attach=False)
    text = report.markdown.read_text()
    assert "(hybridopt.dataset, hybridopt.seed, hybridopt.strategy)" in text
    assert "10 runs of 1 strategy on unknown dataset, 10 seeds each" in text


def test_a_database_says_what_a_server_would(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [store.add("a", seed, math.nan if seed else 0.5) for seed in range(3)]
    store.client.delete_run(store.add("gone", 0, 0.5))
    store.client.log_metric(runs[0], "val/accuracy", 0.7, timestamp=5, step=100)  # of two at a step, the later one
    quick, slow = Reader(store.uri), Reader(store.uri)
    slow.tables = None
    told = []
    for reader in (quick, slow):
        children = reader.children(reader.sweep("made"))
        curves = reader.histories([run.run_id for run in children], "val/accuracy")
        told.append((repr(children), repr(curves), [run.run_id for run in reader.experiment("hybridopt")]))
    assert told[0] == told[1]
    assert "(100, 0.7)" in told[0][1]
