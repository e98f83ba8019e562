"""Whatever is typed ends in something built or in one sentence, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from math import inf, nan
from pathlib import Path
from typing import Any

import odd_jobs
import pytest
import torch
from fake_packages import install, on_path
from hypothesis import HealthCheck, given, settings

from hybridopt import build, compose, run
from hybridopt.composition import building
from hybridopt.composition.compose import plain_values
from hybridopt.errors import ConfigError, HybridoptError, ResumeError
from hybridopt.execution.identity import write_config
from hybridopt.execution.parts import build_trial
from hybridopt.execution.rehearsal import rehearse
from hybridopt.programs import run as program

TRIES = int(os.environ.get("HYBRIDOPT_BAD_INPUTS", "60"))
RUNS = 1 + TRIES // 50


REFUSED = {
    "experiment=es_then_adm": "There is no experiment called 'es_then_adm'. Did you mean 'es_then_adam'?",
    "strategy=adm": "There is no strategy called 'adm'. Did you mean 'adam'?",
    "+encoding@strategy.mask=typo": "There is no encoding called 'typo'.",
    "budget.forwardz=1": "There is no setting budget.forwardz. Did you mean 'forwards'?",
    "+budget.forwardz=1": "There is no setting budget.forwardz. Did you mean 'forwards'?",
    "+oracle.chunks=1": "There is no setting oracle.chunks. Did you mean 'chunk'?",
    "+tracking.logmodel=true": "There is no setting tracking.logmodel. Did you mean 'log_model'?",
    "+sweep.reports=true": "There is no setting sweep.reports. Did you mean 'report'?",
    "+sweep.arm.names=a": "There is no setting sweep.arm.names. Did you mean 'name'?",
    "+trainer.profilr=simple": "There is no setting trainer.profilr. Did you mean 'profiler'?",
    "+trainer.gradient_clip_val=1.0": "trainer.gradient_clip_val is not heeded",
    "+trainer.callbacks.early_stopping={monitor: val/loss, min_delta: inf}": "min_delta must be a finite number",
    "+trainer.callbacks.early_stopping=5": "trainer.callbacks must be a mapping",
    "+sed=1": "There is no setting sed. Did you mean 'seed'?",
    "+model.hiden=[4]": "There is no setting model.hiden of mlp. Did you mean 'hidden'?",
    "seed=soon": "seed=soon",
    "seed=18446744073709551615": "seed must be",
    "seed=4294967296": "seed must be between 0 and 4294967295",
    "~seed": "seed is missing",
    "~tracking.name": "tracking.name is missing",
    "strategy=null": "A part of a job is chosen by the name of a config",
    "strategy.search_share=nan": "strategy.search_share must be a finite number, but is nan.",
    "strategy.search.lr=1e300": "strategy.search.lr must be between -3.4e+38 and 3.4e+38, but is 1e+300.",
    "strategy.search=2": "strategy.search takes plugins of the kind strategy, and is 2",
    "seed=${seed}": "seed: Recursive interpolation",
    "tracking.log_model=perhaps": "tracking.log_model must be true or false, but is 'perhaps'.",
    "oracle.chunk=0": "oracle.chunk must be auto or a whole number",
    "oracle.mode=vmapp": "oracle.mode must be one of auto, vmap, loop, but is 'vmapp'. Did you mean 'vmap'?",
    "oracle.precision=bf17": "oracle.precision must be one of float32, bf16, but is 'bf17'. Did you mean 'bf16'?",
    "threads=100000": "threads must be auto or a whole number between 1 and 1024",
    "trainer.devices=99999": "trainer.devices must be auto, -1, or a whole number between 1 and 4096",
    "model.hidden=[1000000000]": "this machine has",
    "+strategy.phases={a/../b: {name: adam}}": "There is no setting strategy.phases",
    "strategy=ADAM": "There is no strategy called 'ADAM'. Did you mean 'adam'?",
    "+trainer.max_epochs=0": "trainer.max_epochs is not heeded",
    "+trainer.max_steps=0": "trainer.max_steps must be -1 or a whole number",
    "+trainer.limit_val_batches=0": "trainer.limit_val_batches is not heeded",
    "tracking.experiment=''": "tracking.experiment must be a name",
    "strategy.search.popsize=1000000000": "popsize=1000000000 of OpenAIES is larger than budget.forwards",
}


@pytest.mark.parametrize(("typed", "sentence"), REFUSED.items(), ids=REFUSED)
def test_a_refusal_says_what_to_type_instead(typed: str, sentence: str) -> None:
    said = outcome([typed])
    assert said is not None
    assert sentence in said


def test_nobody_asks_for_nan_but_a_third_partys_settings_are_finite(tmp_path: Path) -> None:
    source = "def make(rate: float, more: dict = {}, *, anything=None, **others):\n    raise AssertionError\n"
    install(tmp_path, "acme", source, model={"widget": "make"})
    with on_path(tmp_path):
        for bad in ({"rate": nan}, {"rate": 1, "more": {"a": [inf]}}, {"rate": 1, "anything": nan}, {"rate": "fast"}):
            with pytest.raises(ConfigError, match=r"^model\.\w+(\.a\.0)? must be a (finite )?number, but is"):
                building.build("model", {"name": "widget", **bad})


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        ("model.hidden=[-1]", []),
        ("objective=mse", ["hydra.run.dir=a/b"]),
        ("strategy.search_share=nan", ["hydra.run.dir=kept/b"]),
        ("seeds=2", ["hydra.run.dir=kept"]),
        ("experiment=zero_two", []),
        ("strategy=neat", ["hydra.job.name=odd", "hydra.output_subdir=notes/x"]),
        ("hydra.job.name=../x", []),
        ("hydra.output_subdir=/tmp/x", []),
    ],
)
def test_a_refused_run_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, place: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kept").mkdir()
    monkeypatch.setattr(sys, "argv", ["hybridopt", *place, typed])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code
    assert "Traceback" not in capsys.readouterr().err + str(ended.value.code)
    assert [path.name for path in tmp_path.rglob("*")] == ["kept"]


TUNED_BY_CMA = ["experiment=es_then_adam", "strategy/phases@strategy.phases.tune=cma_es"]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["strategy=neat"], "type model=genome_network"),
        (["strategy=cma_es", "model.hidden=[500,500]"], "keeps a full covariance matrix"),
        (["strategy=adam", "oracle.precision=bf16"], "the strategy Adam asks for none: leave it at float32"),
        (["strategy=openai_es", "oracle.precision=bf16", "trainer.precision=bf16-mixed"], "two ways to the same"),
        (["strategy=snes", "strategy.popsize=100", "budget.forwards=5000"], "One generation of 100 members"),
        (
            ["experiment=es_then_adam", "strategy/phases@strategy.phases.tune=cma_es", "model.hidden=[99,99]"],
            "covariance",
        ),
        (["strategy=adam", "+trainer.callbacks.early_stopping={monitor: loss}"], "'loss'"),
        (["strategy=adam", "encoding=subspace", "encoding.dimension=100000"], "encoding.dimension is 100000"),
    ],
    ids=lambda value: None if isinstance(value, str) else value[0],
)
def test_what_the_first_step_refuses_leaves_nothing(nowhere: Path, typed: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        run("dataset=iris", *typed)


@pytest.mark.parametrize(
    ("group", "odd", "sentence"),
    [("strategy", {"lr": nan}, "strategy.lr must be a finite"), ("budget", {"mark": 1}, "no setting budget.mark")],
)
def test_a_config_that_is_read_back_is_checked(tmp_path: Path, group: str, odd: dict[str, Any], sentence: str) -> None:
    config = plain_values(compose("strategy=adam", "dataset=iris", "tracking=none"))
    write_config(config | {group: config[group] | odd}, tmp_path)
    with pytest.raises(ResumeError, match=sentence):
        run(f"resume={tmp_path}")
    with pytest.raises(ConfigError, match=sentence):
        build(config | {group: config[group] | odd})


def test_a_refused_run_deletes_none_that_is_there(tmp_path: Path) -> None:
    small = ["dataset=iris", "budget.forwards=1000", "budget.marks=1", "tracking=none"]
    run("strategy=adam", *small, directory=tmp_path)
    with pytest.raises(ConfigError, match="genome_network"):
        run("strategy=neat", "start_over=true", *small, directory=tmp_path)
    assert (tmp_path / "result.json").exists()


def test_a_run_that_diverges_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    typed = [
        "strategy=sgd",
        "strategy.lr=1e20",
        "dataset=iris",
        "budget.forwards=2e4",
        "budget.marks=1",
        "tracking=none",
    ]
    result = run(*typed, directory=tmp_path)
    assert result is not None
    assert result.diverged == ["final/val/loss", "test/loss"]
    assert "The run has diverged (final/val/loss is nan" in caplog.text
    assert "hybridopt.diverged" in (tmp_path / "journal.jsonl").read_text()


def test_a_directory_that_holds_a_run_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    program.leave_nothing(tmp_path)
    assert (tmp_path / "config.yaml").exists()


def test_the_names_of_phases_can_be_those_of_metrics() -> None:
    for odd in ("../a", "a b", "a*", ""):
        with pytest.raises(ConfigError, match=r"^strategy\.phases has a part called"):
            building.build("strategy", {"name": "sequence", "phases": {odd: {"name": "adam"}}, "shares": {odd: 1}})


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory to stand in."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.iterdir())


def outcome(overrides: list[str]) -> str | None:
    """Why what is typed is refused; None where it is built."""
    try:
        config = compose(*overrides)
        parts, plain = build(config), plain_values(config)
        rehearse(lambda batch: build_trial(plain, parts.datamodule, batch), parts.datamodule, torch.device("cpu"))
    except HybridoptError as error:
        return str(error)
    return None


@settings(max_examples=TRIES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(odd_jobs.jobs())
def test_a_job_is_accepted_or_refused_in_one_sentence(nowhere: Path, overrides: list[str]) -> None:
    said = outcome(overrides)
    assert said is None or is_sentence(said)
    assert not list(nowhere.iterdir())


@settings(max_examples=RUNS, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(odd_jobs.jobs(faults=0))
def test_a_sound_job_has_a_result_or_leaves_nothing(nowhere: Path, overrides: list[str]) -> None:
    short = ["budget.forwards=600", "budget.marks=2", "tracking=none", "trainer.enable_progress_bar=false"]
    kept = [one for one in overrides if not one.startswith(("budget.", "threads", "trainer.", "tracking.", "seeds"))]
    said = None
    try:
        result = run(*kept, *short)
    except HybridoptError as error:
        said = str(error)
    else:
        assert result is not None
        assert (Path(result.directory) / "result.json").exists()
        shutil.rmtree(nowhere / "outputs")
    assert said is None or is_sentence(said)
    assert not list(nowhere.iterdir())


def is_sentence(said: str) -> bool:
    """Whether a message is one line, as long as somebody would read, and ends as a sentence does."""
    return said.endswith((".", "?")) and not said.endswith("..") and len(said.splitlines()) == 1 and len(said) < 4000
