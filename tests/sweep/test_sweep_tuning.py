"""Tuning: the same number of trials for each combination, on validation, and then fresh seeds."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from mlflow import MlflowClient
from optuna import get_all_study_summaries
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hybridopt.execution import experiment
from hybridopt.sweep.space import declared, distribution

TUNE = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=3"]


def found(tmp_path: Path) -> dict:
    (path,) = tmp_path.glob("multirun/*/optimization_results.yaml")
    return yaml.safe_load(path.read_text())["studies"]


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("a=interval(0.1,1)", FloatDistribution(0.1, 1.0)),
        ("a=tag(log,interval(1e-4,0.1))", FloatDistribution(1e-4, 0.1, log=True)),
        ("a=int(interval(1,10))", IntDistribution(1, 10)),
        ("a=range(10,41,10)", IntDistribution(10, 40, step=10)),
        ("a=choice(x,y)", CategoricalDistribution(["x", "y"])),
        ("a=1,2", CategoricalDistribution(["1", "2"])),
    ],
)
def test_what_is_swept_becomes_what_optuna_draws_from(override: str, wanted: object) -> None:
    assert distribution(OverridesParser.create().parse_override(override)) == wanted


def test_what_is_nested_declares_too(composed) -> None:
    space = declared("strategy", composed("strategy=lottery_ticket")["strategy"])
    assert {"strategy.search.sigma", "strategy.finetune.lr"} < set(space)


def test_each_strategy_has_the_same_number_of_trials_and_then_fresh_seeds(sweep, tmp_path) -> None:
    ended = sweep(*TUNE, "strategy=adam,openai_es", "seeds=2", "tracking.log_model=false", tracking="tracking=mlflow")
    assert (ended.code, ended.outcomes) == (0, {"ran": 10})
    assert {name: study["trials"] for name, study in found(tmp_path).items()} == {"adam": 3, "openai_es": 3}
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs(
        [each.experiment_id for each in client.search_experiments()], "tags.`hybridopt.role` != ''"
    )
    trials = [run for run in runs if run.data.tags["hybridopt.role"] == "trial"]
    evaluated = [run for run in runs if run.data.tags["hybridopt.role"] == "evaluation"]
    assert (len(trials), len(evaluated)) == (6, 4)
    assert {run.data.tags["hybridopt.seed"] for run in trials} == {"1000"}
    assert {run.data.tags["hybridopt.seed"] for run in evaluated} == {"0", "1"}
    assert not any(name.startswith("test/") for run in trials for name in run.data.metrics)  # it is touched once
    assert all("test/accuracy" in run.data.metrics for run in evaluated)
    spent = sum(run.data.metrics["cost/forwards"] for run in trials if run.data.tags["hybridopt.strategy"] == "adam")
    costs = {
        run.data.tags["hybridopt.tuning_forwards"] for run in evaluated if run.data.tags["hybridopt.strategy"] == "adam"
    }
    assert costs == {f"{spent:.0f}"}
    assert "was tuned by 3 trials on a data set" in next(tmp_path.glob("multirun/*/report/report.md")).read_text()


def test_the_best_trial_is_what_is_evaluated(sweep, directories, tmp_path) -> None:
    sweep(*TUNE, "strategy=adam", "seeds=1")
    runs = [json.loads((path / "result.json").read_text())["summary"] for path in directories().values()]
    configs = [yaml.safe_load((path / "config.yaml").read_text()) for path in directories().values()]
    trials = {config["strategy"]["lr"]: run["final/val/loss"] for config, run in zip(configs, runs, strict=True)
              if config["seed"] == 1000}  # fmt: skip
    (evaluated,) = (config["strategy"]["lr"] for config in configs if config["seed"] == 0)
    assert len(trials) == 3
    assert evaluated == min(trials, key=trials.get)


def test_a_trial_is_judged_by_the_mean_over_its_seeds(sweep, directories, tmp_path) -> None:
    command = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "strategy=adam", "seeds=1", "sweep.name=s"]
    assert sweep(*command, "hydra.sweeper.seeds_per_trial=2").outcomes == {"ran": 5}
    losses = defaultdict(dict)
    for path in directories().values():
        config = yaml.safe_load((path / "config.yaml").read_text())
        losses[config["strategy"]["lr"]][config["seed"]] = json.loads((path / "result.json").read_text())["summary"]
    judged = {
        lr: fmean(run["final/val/loss"] for seed, run in runs.items() if seed)
        for lr, runs in losses.items() if runs.keys() >= {1000, 1001}
    }  # fmt: skip
    assert len(judged) == 2
    (study,) = found(tmp_path).values()
    assert study["value"] == pytest.approx(min(judged.values()))
    assert 0 in losses[min(judged, key=judged.get)]
    sweep(*command)
    (database,) = tmp_path.glob("multirun/s/optuna.db")
    studies = get_all_study_summaries(storage=f"sqlite:///{database}")
    assert {study.study_name: study.n_trials for study in studies} == {"all": 2, "all, 2 seeds each": 2}


def test_the_same_tuning_again_runs_nothing_again(sweep) -> None:
    command = [*TUNE, "strategy=adam", "seeds=1"]
    first, second = sweep(*command), sweep(*command)
    assert first.outcomes == {"ran": 4}
    assert second.outcomes == {"skipped": 1}  # the study has its trials
    assert sweep(*command, "sweep.rerun=all").outcomes == {"ran": 4}


def test_a_trial_that_was_cut_short_goes_on(sweep, monkeypatch) -> None:
    command = [*TUNE, "strategy=adam", "seeds=1"]
    real, ran = experiment.run, []

    def stops(config, *arguments):
        ran.append(config["strategy"]["lr"])
        if len(ran) == 2:
            raise KeyboardInterrupt
        return real(config, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(experiment, "run", stops)
        assert sweep(*command).code == 130
    again = []
    monkeypatch.setattr(experiment, "run", lambda config, *rest: (again.append(config), real(config, *rest))[1])
    assert sweep(*command).outcomes == {"ran": 3}
    assert again[0]["strategy"]["lr"] == ran[1]


def test_values_of_the_command_line_are_searched_too(sweep, tmp_path) -> None:
    sweep(*TUNE, "hydra.sweeper.declared=false", "strategy=adam", "strategy.lr=interval(0.01,0.02)",
          "strategy.amsgrad=true,false", "seeds=1")  # fmt: skip
    (study,) = found(tmp_path).values()
    best = dict(override.split("=") for override in study["best"])
    assert set(best) == {"strategy.lr", "strategy.amsgrad"}
    assert 0.01 <= float(best["strategy.lr"]) <= 0.02


def test_without_anything_to_tune_there_is_the_evaluation(sweep) -> None:
    ended = sweep(*TUNE, "hydra.sweeper.declared=false", "strategy=adam", "seeds=2")
    assert ended.outcomes == {"ran": 2}
    assert "(nothing to tune)" in ended.out


def test_a_preview_of_a_tuning_counts_its_trials(sweep, tmp_path) -> None:
    ended = sweep(*TUNE, "strategy=adam,openai_es", "seeds=2", "sweep.preview=true")
    assert "10 of 10 jobs would run: 30,000 forwards" in ended.out
    assert not (tmp_path / "multirun").exists()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials must be at least 1, but is 0"),
        (["hydra.sweeper.sampler=tpee"], "There is no hydra.sweeper.sampler 'tpee'. Did you mean 'tpe'?"),
        (["hydra.sweeper.direction=up"], "must be minimize or maximize, but is 'up'"),
        (["sweep.metric=final/val/accuracy"], "set hydra.sweeper.direction=maximize"),
        (["seed=1000"], "The seed 1000 is the trials' own"),
        (["seed=0,1002", "hydra.sweeper.seeds_per_trial=3"], "The seed 1002 is the trials' own"),
        (["hydra.sweeper.seeds_per_trial=0"], "hydra.sweeper.seeds_per_trial must be at least 1, but is 0"),
    ],
)
def test_what_cannot_be_tuned_is_refused(sweep, overrides: list[str], sentence: str) -> None:
    ended = sweep("hydra/sweeper=optuna", "strategy=adam", *overrides)
    assert ended.code == 1
    assert sentence in ended.err


def test_accuracy_is_tuned_upwards(sweep, tmp_path) -> None:
    ended = sweep(*TUNE, "hydra.sweeper.direction=maximize", "sweep.metric=final/val/accuracy", "strategy=adam")
    assert ended.outcomes == {"ran": 3}
    (study,) = found(tmp_path).values()
    assert 0.3 < study["value"] <= 1
