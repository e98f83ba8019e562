"""Control arms: what a hybrid's overrides become, and that a sweep runs, adopts and tells them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.initialize import initialize_config_module
from hydra.types import RunMode
from mlflow import MlflowClient

from hybridopt.composition import registry
from hybridopt.composition.compose import plain_values
from hybridopt.errors import ConfigError, PluginError
from hybridopt.execution.identity import fingerprint, run_name
from hybridopt.programs import run as cli
from hybridopt.sweep import controls
from hybridopt.sweep.controls import arms_of, is_control, with_controls
from hybridopt.sweep.plan import Job, Planner, all_combinations, compose_jobs

HYBRIDS = ("lottery_ticket", "simulated_annealing_head", "iterative_magnitude_pruning")
PHASES = ("+strategy/phases@strategy.phases.a=openai_es", "+strategy/phases@strategy.phases.b=adam")
SEARCH, MASK = "without the search", "with a random mask"


@pytest.fixture
def plan() -> Callable[..., list[Job]]:
    """The jobs of a sweep as it is typed, with their control arms."""
    cli.register()

    def jobs(*overrides: str, wanted: object = True) -> list[Job]:
        with initialize_config_module("hybridopt.conf", version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            fixed = [one for one in overrides if "," not in one]
            planner = Planner(loader, loader.load_configuration("config", fixed, RunMode.MULTIRUN))
            return with_controls(planner, compose_jobs(planner, all_combinations(planner.parse(overrides))), wanted)

    return jobs


def named(jobs: list[Job], name: str) -> list[Job]:
    return [job for job in jobs if job.tags.get("hybridopt.control") == name]


@pytest.mark.parametrize("strategy", [(f"strategy={name}",) for name in HYBRIDS] + [
    (f"strategy={name}", *PHASES) for name in ("sequence", "alternate")] + [("experiment=es_then_adam",)])  # fmt: skip
def test_an_arm_is_its_hybrid_but_for_the_strategy(strategy: tuple[str, ...], plan) -> None:
    hybrid, *arms = plan(*strategy, "seed=3", "budget.forwards=1e5")
    assert [job.tags["hybridopt.control"] for job in arms] == list(arms_of(hybrid))
    marks = json.loads(hybrid.tags["hybridopt.controls"])
    assert marks == {job.tags["hybridopt.control"]: job.fingerprint for job in arms}
    assert len({job.fingerprint for job in (hybrid, *arms)}) == len(arms) + 1
    for job in arms:
        assert job.refused is None
        assert is_control(job)
        differing = {key for key, value in job.config.items() if value != hybrid.config[key]}
        assert differing == {"strategy", "sweep"}
        assert job.label.startswith(f"{hybrid.config['strategy']['name']} {job.tags['hybridopt.control']} · digits")


@pytest.mark.parametrize("overrides", [
    (), ("strategy.finetune.lr=0.01",), ("strategy/finetune=sgd", "strategy.finetune.momentum=0.5")])  # fmt: skip
def test_a_part_alone_is_the_job_that_a_user_would_type(overrides: tuple[str, ...], plan, composed) -> None:
    (arm,) = named(plan("strategy=lottery_ticket", *overrides, wanted=[SEARCH]), SEARCH)
    typed = [one.replace("strategy/finetune", "strategy").replace(".finetune.", ".") for one in overrides]
    by_hand = composed(*(typed if overrides[1:] else ["strategy=adam", *typed]))
    assert arm.config["strategy"] == by_hand["strategy"]
    assert arm.fingerprint == fingerprint(by_hand)


def test_the_overrides_of_an_arm_compose_to_its_config(plan, composed) -> None:
    for job in plan("experiment=es_then_adam", "strategy.phases.tune.lr=0.02", "seed=0,1"):
        again = composed(*job.overrides)
        assert again["strategy"] == job.config["strategy"]
        assert fingerprint(again) == job.fingerprint
        assert run_name(again) == job.label


def test_what_computes_the_same_is_one_job(plan) -> None:
    jobs = plan("strategy=lottery_ticket", "strategy.search_share=0.2,0.4", "seeds=2")
    shared = named(jobs, SEARCH)
    assert len(jobs) == 2 * (2 * 4 + 1)
    assert [job.label for job in shared] == [f"lottery_ticket {SEARCH} · digits · seed {seed}" for seed in (0, 1)]
    hybrids = [job for job in jobs if "hybridopt.controls" in job.tags]
    for job in hybrids:
        (arm,) = [one for one in shared if one.config["seed"] == job.config["seed"]]
        assert json.loads(job.tags["hybridopt.controls"])[SEARCH] == arm.fingerprint


def test_an_arm_that_is_a_job_of_its_own_stays_one(plan) -> None:
    jobs = plan("strategy=lottery_ticket,adam", "seeds=1")
    (adam,) = named(jobs, SEARCH)
    assert not is_control(adam)
    assert adam.label == "adam · digits · seed 0"
    assert adam.tags == {"hybridopt.control": SEARCH, "hybridopt.control.of": "lottery_ticket"}


def test_an_arm_of_two_hybrids_names_both(plan) -> None:
    jobs = plan("strategy=lottery_ticket,simulated_annealing_head", "seeds=1", wanted=SEARCH)
    assert [job.tags["hybridopt.control.of"] for job in jobs if is_control(job)] == [
        "lottery_ticket; simulated_annealing_head"
    ]


def test_a_setting_that_is_the_arm_s_already_makes_none(plan) -> None:
    jobs = plan("strategy=lottery_ticket", "strategy.mask=random", "seeds=1")
    assert not named(jobs, MASK)
    assert len(jobs) == 4


def test_without_controls_nothing_is_loaded_or_added(plan, monkeypatch) -> None:
    monkeypatch.setattr(controls, "arms_of", lambda _: pytest.fail("a strategy was asked for its arms"))
    assert len(plan("strategy=lottery_ticket,adam", "seeds=2", wanted=False)) == 4


@pytest.mark.parametrize(
    ("overrides", "wanted", "sentence"),
    [
        (["strategy=adam,sgd"], True, "No strategy of this sweep has control arms (it has adam, sgd)"),
        (["strategy=adam,lottery_ticket"], ["without search"], "Did you mean 'without the search'? Choose from: with"),
        (["strategy=lottery_ticket"], 3, "sweep.controls must be true, false or a list of names, but is 3"),
        (["strategy=lottery_ticket", "sweep.controls=true,false"], True, "is true, false or a list of names: type"),
    ],
)
def test_what_cannot_be_meant_is_refused(plan, overrides: list[str], wanted: object, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        plan(*overrides, wanted=wanted)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("declared", "kind", "sentence"),
    [
        (lambda _: {"x": ("strategy.nothing=1",)}, ConfigError, "The control arm 'x' of lottery_ticket cannot be"),
        (lambda _: {"x": ("strategy=@nothing",)}, None, "There is no strategy at strategy.nothing, which sweep.arm"),
        (lambda settings: settings["nothing"], PluginError, "'lottery_ticket' cannot say what its control arms are"),
    ],
)
def test_an_author_s_mistake_is_told_in_a_sentence(plan, monkeypatch, declared, kind, sentence: str) -> None:
    monkeypatch.setattr(registry.find("strategy", "lottery_ticket").load(), "controls", declared)
    if kind is None:
        assert sentence in (plan("strategy=lottery_ticket", "seeds=1")[1].refused or "")
        return
    with pytest.raises(kind) as refused:
        plan("strategy=lottery_ticket", "seeds=1")
    assert sentence in str(refused.value)


def test_arms_run_beside_their_hybrid_and_are_adopted(sweep, directories, tmp_path: Path) -> None:
    """One sweep that grows: without arms, with one that becomes a job of its own, with all."""
    command = ["strategy=lottery_ticket", "seeds=2", "tracking.log_model=false"]
    first = sweep(*command, tracking="tracking=mlflow")
    arms = [f"sweep.controls=[{SEARCH},{MASK}]"]
    second = sweep(*command, *arms, tracking="tracking=mlflow")
    third = sweep(*command, *arms, tracking="tracking=mlflow")
    assert (first.outcomes, second.outcomes, third.outcomes) == ({"ran": 2}, {"skipped": 2, "ran": 4}, {"skipped": 6})
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()], "tags.hybridopt.seed = '1'")
    told = {run.info.run_name: run.data.tags for run in runs}
    assert set(told) == {f"lottery_ticket{name} · iris · seed 1" for name in ("", f" {SEARCH}", f" {MASK}")}
    alone = told[f"lottery_ticket {SEARCH} · iris · seed 1"]
    assert alone["hybridopt.strategy"] == "adam"
    assert alone["hybridopt.control"] == SEARCH
    assert alone["hybridopt.control.of"] == "lottery_ticket"
    assert alone["hybridopt.role"] == "control"
    hybrid = told["lottery_ticket · iris · seed 1"]
    assert json.loads(hybrid["hybridopt.controls"])[SEARCH] == alone["hybridopt.fingerprint"]
    configs = [yaml.safe_load((path / "config.yaml").read_text()) for path in directories().values()]
    assert sorted(config["strategy"]["name"] for config in configs) == ["adam"] * 2 + ["lottery_ticket"] * 4
    report = next(tmp_path.glob("multirun/*/report/report.md")).read_text()
    assert "2 runs of 1 strategy on iris" in report
    _, section = report.split("## What each part contributes")
    assert "2 seeds cannot tell what a part contributes among 2 comparisons" in section
    assert f"| lottery_ticket, {MASK} |" in section
    assert "left no run at all" not in report


def test_an_arm_becomes_a_job_of_its_own_where_it_is_asked_for(sweep, tmp_path: Path) -> None:
    common = ["seeds=1", "sweep.name=growing", "tracking.log_model=false"]
    sweep("strategy=lottery_ticket", f"sweep.controls={SEARCH}", *common, tracking="tracking=mlflow")
    again = sweep("strategy=lottery_ticket,adam", *common, tracking="tracking=mlflow")
    assert again.outcomes == {"skipped": 2}
    report = next(tmp_path.glob("multirun/growing/report/report.md")).read_text()
    assert "2 runs of 2 strategies on iris" in report
    assert f"lottery_ticket on iris: {SEARCH}," in report


def test_a_preview_counts_arms(sweep, tmp_path: Path) -> None:
    ended = sweep("strategy=lottery_ticket", f"sweep.controls={MASK}", "seeds=2", "sweep.preview=true")
    assert "4 of 4 jobs would run (2 of them control arms): 12,000 forwards" in ended.out
    assert f"lottery_ticket {MASK} · iris · seed 1" in ended.out
    assert not (tmp_path / "multirun").exists()


def test_a_user_s_own_directories_hold_arms_apart(sweep, tmp_path: Path) -> None:
    sweep("strategy=lottery_ticket", f"sweep.controls={SEARCH}", "hydra.sweep.dir=mine",
          "hydra.sweep.subdir=${strategy.name}")  # fmt: skip
    found = sorted(path.parent.name for path in tmp_path.glob("mine/*/result.json"))
    assert found == ["lottery_ticket", "lottery_ticket-without_the_search"]


def test_tuning_refuses_control_arms(sweep) -> None:
    ended = sweep("hydra/sweeper=optuna", "strategy=lottery_ticket", "sweep.controls=true")
    assert ended.code == 1
    assert "sweep.controls does not go with hydra/sweeper=optuna" in ended.err


def test_where_nobody_would_add_the_arms_they_are_refused(sweep) -> None:
    ended = sweep("hydra/sweeper=basic", "strategy=lottery_ticket", "sweep.controls=true")
    assert ended.code == 1
    assert "this job is in none: add -m, or leave sweep.controls out." in ended.err


def test_an_arm_alone_is_a_job(composed) -> None:
    config = composed("strategy=lottery_ticket", "sweep.arm.part=finetune")
    assert config["strategy"] == composed("strategy=adam")["strategy"]
    assert plain_values(config) == config
