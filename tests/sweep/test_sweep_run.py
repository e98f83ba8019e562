"""A sweep runs what has not finished, in one run of its own, and tells what became of its jobs."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from mlflow import MlflowClient
from omegaconf import OmegaConf

from hybridopt import compose
from hybridopt.composition.compose import plain_values
from hybridopt.errors import Interrupted
from hybridopt.execution import experiment
from hybridopt.execution.identity import fingerprint
from hybridopt.programs import run as cli
from hybridopt.sweep.plan import all_combinations

TRACKED = "tracking=mlflow"
LONGER = "budget.forwards=2e4"  # twelve generations: all marks are passed one by one
NO_MODEL = "tracking.log_model=false"


def children(store: Path, parent: str) -> list:
    client = MlflowClient(f"sqlite:///{store}")
    experiments = [each.experiment_id for each in client.search_experiments()]
    return client.search_runs(experiments, f"tags.`mlflow.parentRunId` = '{parent}'")


def parents(store: Path) -> list:
    client = MlflowClient(f"sqlite:///{store}")
    experiments = [each.experiment_id for each in client.search_experiments()]
    return client.search_runs(experiments, "tags.`hybridopt.kind` = 'sweep'")


def test_the_same_command_again_runs_nothing_again(sweep, directories) -> None:
    command = ["strategy=adam,openai_es", "seed=0,1"]
    first = sweep(*command)
    written = {path: path.stat().st_mtime_ns for path in directories().values()}
    second = sweep(*command)
    assert (first.code, first.outcomes) == (0, {"ran": 4})
    assert (second.code, second.outcomes) == (0, {"skipped": 4})
    assert {path: path.stat().st_mtime_ns for path in directories().values()} == written


def test_combinations_are_enumerated_in_the_order_of_hydras_own_sweeper() -> None:
    typed = ["strategy=adam,sgd", "seed=range(0,2)", "+a=1", "a=choice(x,y)", "a=z"]
    combinations = all_combinations(OverridesParser.create().parse_overrides(typed))
    rest = ["+a=1", "a=z"]
    assert combinations == [
        [f"strategy={strategy}", f"seed={seed}", *rest] for strategy in ("adam", "sgd") for seed in (0, 1)
    ]


def test_a_job_has_the_numbers_that_it_has_alone(sweep, directories, composed, tmp_path) -> None:
    sweep("strategy=adam,openai_es", "seed=0,1")
    (there,) = [path for name, path in directories().items() if name.startswith("openai_es-iris-s1-")]
    config = composed(
        "strategy=openai_es", "seed=1", "dataset=iris", "dataset.batch_size=16", "budget.marks=5",
        "budget.forwards=3000", "tracking=none",
    )  # fmt: skip
    alone = experiment.run(config, tmp_path / "alone").summary
    of_sweep = json.loads((there / "result.json").read_text())["summary"]
    same = [name for name in alone if name.startswith(("final", "test", "best")) or name == "cost/forwards"]
    assert {name: alone[name] for name in same} == {name: of_sweep[name] for name in same}


def test_it_is_one_parent_and_its_children(sweep, tmp_path) -> None:
    ended = sweep("strategy=adam,openai_es", "seeds=2", NO_MODEL, tracking=TRACKED)
    (parent,) = parents(tmp_path / "mlflow.db")
    runs = children(tmp_path / "mlflow.db", parent.info.run_id)
    assert ended.code == 0
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["hybridopt.jobs"] == parent.data.tags["hybridopt.jobs.finished"] == "4"
    assert {(run.data.tags["hybridopt.strategy"], run.data.tags["hybridopt.seed"]) for run in runs} == {
        (strategy, seed) for strategy in ("adam", "openai_es") for seed in ("0", "1")
    }
    assert {run.data.tags["hybridopt.sweep"] for run in runs} == {parent.data.tags["hybridopt.sweep"]}
    assert all(run.info.status == "FINISHED" for run in runs)


def test_the_same_sweep_goes_on_in_the_same_parent_and_a_name_lets_it_grow(sweep, tmp_path) -> None:
    for seeds in ("seeds=1", "seeds=2"):
        ended = sweep("strategy=adam", seeds, "sweep.name=growing", NO_MODEL, tracking=TRACKED)
    (parent,) = parents(tmp_path / "mlflow.db")
    assert ended.outcomes == {"skipped": 1, "ran": 1}
    assert len(children(tmp_path / "mlflow.db", parent.info.run_id)) == 2


def test_runs_are_named_by_the_settings_in_which_they_differ(sweep, tmp_path) -> None:
    """Those that were there before are named so as well, unless somebody has given them a name."""
    command = ["strategy=sgd", "sweep.name=growing", "sweep.report=false", NO_MODEL]
    sweep(*command, "strategy.lr=0.1", "model.hidden=[4]", "seeds=2", tracking=TRACKED)
    store = tmp_path / "mlflow.db"
    (parent,) = parents(store)
    for run in children(store, parent.info.run_id):
        if run.data.tags["hybridopt.seed"] == "1":
            MlflowClient(f"sqlite:///{store}").update_run(run.info.run_id, name="mine")
    sweep(*command, "strategy.lr=0.1,0.2", "model.hidden=[4],[4,4]", "seeds=2", tracking=TRACKED)
    runs = children(store, parent.info.run_id)
    assert {run.info.run_name for run in runs} == {run.data.tags["mlflow.runName"] for run in runs}
    assert sorted(run.info.run_name for run in runs) == sorted([
        "mine",
        *(f"sgd · iris · seed {seed} · hidden={hidden} · lr={lr}" for seed in (0, 1) for hidden in ("[4]", "[4,4]")
          for lr in ("0.1", "0.2") if (seed, hidden, lr) != (1, "[4]", "0.1")),
    ])  # fmt: skip


def test_a_sweep_is_known_where_its_directory_is_not(sweep, tmp_path) -> None:
    command = ["strategy=adam", "seeds=2", NO_MODEL]
    sweep(*command, tracking=TRACKED)
    (tmp_path / "multirun").rename(tmp_path / "elsewhere")
    again = sweep(*command, tracking=TRACKED)
    assert again.outcomes == {"skipped": 2}
    assert len(parents(tmp_path / "mlflow.db")) == 1


def test_a_failing_job_does_not_stop_the_others(sweep, directories, tmp_path) -> None:
    ended = sweep("strategy=adam,openai_es", "objective=zero_one,cross_entropy", NO_MODEL, tracking=TRACKED)
    (parent,) = parents(tmp_path / "mlflow.db")
    assert ended.code == 1
    assert ended.outcomes == {"failed": 1, "ran": 3}
    assert "adam needs a gradient" in ended.out or "needs a gradient and the objective ZeroOne has none" in ended.out
    assert parent.info.status == "FAILED"
    with next(tmp_path.glob("multirun/*/jobs.csv")).open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["outcome"] for row in rows) == ["failed", "ran", "ran", "ran"]
    assert "needs a gradient" in next(row["why"] for row in rows if row["outcome"] == "failed")


def test_refused_jobs_are_failed_runs_and_the_sweep_says_why(sweep, tmp_path) -> None:
    """Those that cannot be composed, and those whose parts do not fit; typed again, they are not tracked again."""
    command = ["objective=zero_one", "strategy=adam,cem", "budget.spacing=even,odd", NO_MODEL]
    store = tmp_path / "mlflow.db"
    for sweep_again in (False, True):
        ended = sweep(*command, "sweep.rerun=none", tracking=TRACKED)
        assert ended.code == 1
        assert (ended.outcomes["refused"], ended.outcomes["failed"]) == (2, 1)
        (parent,) = parents(store)
        runs = children(store, parent.info.run_id)
        failed = {run.info.run_name: run.data.tags for run in runs if run.info.status == "FAILED"}
        assert len(runs) == 4, sweep_again
        assert len(failed) == 3, failed
    assert parent.data.tags["hybridopt.jobs.failed"] == "3"
    for tags in failed.values():
        assert tags["mlflow.note.content"].startswith(
            f"**Failed:** `{tags['hybridopt.failure']}`\n\n```bash\nhybridopt "
        )
        assert tags["hybridopt.sweep"] == parent.data.tags["hybridopt.sweep"]
        assert tags["hybridopt.failure"].rstrip(".") in parent.data.tags["mlflow.note.content"]
    assert {"strategy=adam budget.spacing=odd", "adam · iris · seed 0 · spacing=even"} < failed.keys()
    report = next(tmp_path.glob("multirun/*/report/report.md")).read_text()
    assert "3 of the runs are FAILED and count for nothing here: " in report
    assert "left no run" not in report


def test_the_page_of_a_sweep_without_a_report_says_the_same_when_it_is_typed_again(sweep, tmp_path) -> None:
    for outcome in ("ran", "skipped"):
        assert sweep("strategy=adam", "seeds=2", "sweep.report=false", tracking=TRACKED).outcomes == {outcome: 2}
        (parent,) = parents(tmp_path / "mlflow.db")
        assert parent.data.tags["mlflow.note.content"] == "2 jobs: 2 finished"


def test_a_sweep_of_which_nothing_ran_says_so_on_its_page(sweep, tmp_path) -> None:
    ended = sweep("strategy=adam", "objective=zero_one", "seeds=2", tracking=TRACKED)
    (parent,) = parents(tmp_path / "mlflow.db")
    note = parent.data.tags["mlflow.note.content"]
    assert ended.outcomes == {"failed": 2}
    assert note.startswith("2 jobs: 2 failed\n\n- failed: adam · iris · seed 0; adam · iris · seed 1: `")
    assert "needs a gradient" in note


def test_a_job_that_diverges_has_finished_and_is_marked_wherever_it_is_seen(sweep, tmp_path) -> None:
    job = ["strategy=sgd", "strategy.lr=0.01,0.5,100", "dataset=diabetes", "objective=mse", "model=linear"]
    ended = sweep(*job, "budget.marks=10", NO_MODEL, budget="budget.forwards=9e3", tracking=TRACKED)
    assert (ended.code, ended.outcomes) == (0, {"ran": 3})
    assert re.search(r"lr=100 +ran, diverged +(nan|inf) ", ended.out)
    assert re.search(r"lr=0\.5 +ran, loss grew +\d\.\de\+\d\d ", ended.out)
    with next(tmp_path.glob("multirun/*/jobs.csv")).open() as file:
        why = [row["why"] for row in csv.DictReader(file)]
    assert why[0] == ""
    assert why[1].startswith("The loss of the run has grown (final/val/loss is ")
    assert why[2].startswith("The run has diverged (final/val/loss is ")
    (parent,) = parents(tmp_path / "mlflow.db")
    found = children(tmp_path / "mlflow.db", parent.info.run_id)
    runs = {run.info.run_name.split("lr=")[1]: run.data.tags for run in found}
    for lr, tag, text in (("0.5", "hybridopt.loss_grew", why[1]), ("100", "hybridopt.diverged", why[2])):
        assert runs[lr][tag] in text in runs[lr]["mlflow.note.content"]
    note = parent.data.tags["mlflow.note.content"]
    assert "1 of 1 run of sgd lr=100 diverged to numbers that are not finite" in note
    assert (
        "1 of the runs ended with a loss that had grown to more than 1,000 times its best, or to more than 1e+20"
        in note
    )


def test_the_commands_that_runs_are_tagged_with_run_them_again(sweep, tmp_path) -> None:
    sweep("strategy=adam,openai_es", "model.hidden=[2,2]", NO_MODEL, tracking=TRACKED)
    (parent,) = parents(tmp_path / "mlflow.db")
    assert parent.data.tags["hybridopt.command"].startswith("hybridopt -m ")
    assert parent.data.tags["hybridopt.command"].endswith(f"strategy=adam,openai_es 'model.hidden=[2,2]' {NO_MODEL}")
    for run in children(tmp_path / "mlflow.db", parent.info.run_id):
        program, *overrides = shlex.split(run.data.tags["hybridopt.command"])
        assert program == "hybridopt"
        assert fingerprint(plain_values(compose(*overrides))) == run.data.tags["hybridopt.fingerprint"]


@pytest.mark.parametrize(
    ("rerun", "wanted"),
    [("none", {"skipped": 1, "failed": 1}), ("failed", {"skipped": 1, "ran": 1}), ("all", {"ran": 2})],
)
def test_what_runs_again_is_a_setting(sweep, monkeypatch, rerun: str, wanted: dict[str, int]) -> None:
    real = experiment.run

    def breaks(config, *arguments):
        if config["seed"] == 1:
            raise RuntimeError("the disk is on fire")
        return real(config, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(experiment, "run", breaks)
        assert sweep("strategy=adam", "seeds=2").outcomes == {"ran": 1, "failed": 1}
    ended = sweep("strategy=adam", "seeds=2", f"sweep.rerun={rerun}")
    assert ended.outcomes == wanted
    assert ("RuntimeError: the disk is on fire" in ended.out) == (rerun == "none")


def test_a_half_done_job_goes_on_from_its_checkpoint(sweep, directories, monkeypatch, tmp_path) -> None:
    from hybridopt.execution.trial import Trial

    command = ["strategy=openai_es", "seeds=3", NO_MODEL]
    real, marks = Trial.on_validation_epoch_end, []

    def stops(self) -> None:
        real(self)
        marks.append(self.ledger.forwards)
        if len(marks) == 8:  # in the second job
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(Trial, "on_validation_epoch_end", stops)
        stopped = sweep(*command, budget=LONGER, tracking=TRACKED)
    assert stopped.code == 130
    assert "type the same command again" in stopped.err
    assert [run.info.status for run in parents(tmp_path / "mlflow.db")] == ["KILLED"]
    ended = sweep(*command, budget=LONGER, tracking=TRACKED)
    assert ended.outcomes == {"skipped": 1, "resumed": 1, "ran": 1}
    (parent,) = parents(tmp_path / "mlflow.db")
    assert parent.info.status == "FINISHED"
    assert len(children(tmp_path / "mlflow.db", parent.info.run_id)) == 3


def test_a_signal_stops_the_sweep_and_its_code_tells(sweep, monkeypatch, tmp_path) -> None:
    def stopped(*_: object) -> None:
        raise Interrupted("Stopped by SIGTERM after 5 forwards.", 15)

    monkeypatch.setattr(experiment, "run", stopped)
    ended = sweep("strategy=adam", "seeds=2", tracking=TRACKED)
    assert ended.code == 143
    assert [run.info.status for run in parents(tmp_path / "mlflow.db")] == ["KILLED"]


def test_hydras_own_sweeper_works_without_what_ours_has(sweep, tmp_path) -> None:
    ended = sweep("hydra/sweeper=basic", "strategy=adam", "seed=0,1")
    assert ended.code == 0
    assert len(list(tmp_path.glob("multirun/*/*/[01]/result.json"))) == 2


@pytest.mark.parametrize("goes_on", [False, True])
def test_the_other_ranks_of_a_job_are_started_by_its_own_command(goes_on: bool, monkeypatch, composed) -> None:
    monkeypatch.setattr(sys, "argv", ["hybridopt", "-m", "strategy=adam,sgd", "seeds=2"])
    config = OmegaConf.create(
        {"runtime": {"output_dir": "/there"}, "run": {"dir": "?"}, "overrides": {"task": ["strategy=sgd", "seed=1"]}}
    )
    with cli.command_line_of_the_job(config, goes_on):
        assert sys.argv == ["hybridopt", *(["resume=/there"] if goes_on else ["strategy=sgd", "seed=1"])]
    assert config.run.dir == "/there"
    assert sys.argv[1] == "-m"


def test_two_jobs_that_compute_the_same_are_one(sweep) -> None:
    swept = sweep("strategy=adam", "seed=0,0")
    assert swept.outcomes == {"ran": 1}
    assert "Left out, since they compute the same as others: 1 of 2 combinations." in swept.out


def test_another_version_of_the_code_is_told(sweep, directories) -> None:
    sweep("strategy=adam", "seeds=2")
    (next(iter(directories().values())) / "code.txt").write_text("hybridopt==0.0.1\n")
    assert "computed by different versions of the code (hybridopt 0.0.1 (1), " in sweep("strategy=adam", "seeds=2").out


def test_a_user_who_chooses_directories_gets_them(sweep, tmp_path) -> None:
    sweep("strategy=adam,openai_es", "hydra.sweep.dir=mine", "hydra.sweep.subdir=${strategy.name}")
    assert sorted(path.parent.name for path in tmp_path.glob("mine/*/result.json")) == ["adam", "openai_es"]


def test_the_sweep_of_another_process_is_left_alone(sweep, tmp_path) -> None:
    from filelock import FileLock

    sweep("strategy=adam", "sweep.name=busy")
    with FileLock(tmp_path / "multirun" / "busy" / "journal.lock"):
        ended = sweep("strategy=adam", "sweep.name=busy")
    assert ended.code == 1
    assert "is being written by another process" in ended.err


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["seeds=2", "seed=1"], "seed and seeds are both given"),
        (["seeds=0"], "seeds must be at least 1, but is 0"),
        (["seeds=1,2"], "to name them, type seed=3,5,8"),
        (["sweep.rerun=some"], "sweep.rerun must be one of failed, all, none, but is 'some'"),
        (["sweep.name=a/b"], "sweep.name names a folder, but is 'a/b'"),
        (["strategy=adam", "strategy.lr=interval(0.1,1)"], "strategy.lr=interval(0.1,1) has no values to enumerate"),
        (["strategy=adamm"], "There is no strategy called 'adamm'. Did you mean 'adam'?"),
        (["experiment=zero_one,zero_two"], "There is no experiment called 'zero_two'. Did you mean 'zero_one'?"),
        (["strategy=adam", "seed=range(0)"], "seed=range(0) has no values"),
        (["strategy=glob(zzz*)"], "strategy=glob(zzz*) has no values"),
        (["strategy=adam", "strategy.lr=interval(1,0.1)"], "strategy.lr=interval(1,0.1) has no values"),
        (["seeds=100001"], "seeds must be between 1 and 100000"),
        (["seed=range(1000)", "strategy.lr=range(1,102)"], "The sweep would have 101000 jobs"),
        (["strategy=adam", "strategy.lr=nan,inf"], "strategy.lr must be a finite number, but is nan"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(sweep, tmp_path, overrides, sentence) -> None:
    ended = sweep(*overrides)
    assert ended.code == 1
    assert sentence in ended.err
    assert not (tmp_path / "multirun").exists()


def test_seeds_without_a_sweep_are_refused(hybridopt: Callable) -> None:
    done = hybridopt("seeds=3", "tracking=none", check=False)
    assert done.returncode == 1
    assert "seeds=3 is an axis of a sweep: add -m" in done.stderr


def test_a_metric_that_no_job_has_is_named(sweep) -> None:
    ended = sweep("strategy=adam", "sweep.metric=final/val/acuracy")
    assert "There is no metric 'final/val/acuracy' for sweep.metric. Did you mean 'final/val/accuracy'?" in ended.out


def test_a_preview_runs_nothing(sweep, tmp_path) -> None:
    ended = sweep("strategy=adam,openai_es", "objective=zero_one,cross_entropy", "seeds=2", "sweep.preview=true")
    assert ended.code == 0
    assert "6 of 8 jobs would run: 18,000 forwards" in ended.out
    assert "needs a gradient and the objective ZeroOne has none" in ended.out
    assert not (tmp_path / "multirun").exists()
    assert not (tmp_path / "mlflow.db").exists()


def test_a_preview_knows_what_has_finished(sweep) -> None:
    sweep("strategy=adam", "seeds=2", "sweep.name=seen")
    ended = sweep("strategy=adam", "seeds=3", "sweep.name=seen", "sweep.preview=true")
    assert "1 of 3 jobs would run: 3,000 forwards" in ended.out


def test_the_configs_of_jobs_that_are_over_are_not_kept(sweep: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = Plugins.instance().class_name_to_class["hydra._internal.core_plugins.basic_launcher.BasicLauncher"]
    launch, returned = launcher.launch, []
    monkeypatch.setattr(launcher, "launch", lambda *a, **k: returned.extend(launch(*a, **k)))
    assert sweep("seeds=2").code == 0
    assert [(each.status.name, each.cfg, each.hydra_cfg) for each in returned] == [("COMPLETED", None, None)] * 2
