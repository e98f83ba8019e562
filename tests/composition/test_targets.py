"""Trust: a config calls installed plugins and nothing else, unless the user says so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from jobs import SMALL

from hybridopt.composition import registry, targets
from hybridopt.errors import ConfigError
from hybridopt.execution import experiment, identity

Composed = Callable[..., dict[str, Any]]
MARK = "ran.txt"
EVIL = f"{{_target_: pathlib.Path.touch, self: {MARK}}}"  # whoever calls it leaves a file behind
FILE = f"# @package _global_\n{{place}}:\n  {{part}}:\n    _target_: pathlib.Path.touch\n    self: {MARK}\n"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "hybridopt", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def assert_refused(done: subprocess.CompletedProcess[str], directory: Path, *words: str) -> None:
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    (sentence,) = (line for line in done.stderr.splitlines() if "instantiate_targets=true" in line)
    assert [word for word in words if word not in sentence] == []
    assert sentence.endswith(".")
    assert not list(directory.rglob(MARK))


# -- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("+model._target_=os.system", "model._target_"),
        (f"+trainer.profiler={EVIL}", "trainer.profiler._target_"),
        (f"strategy=nevergrad +strategy.extra={EVIL}", "strategy.extra._target_"),
        (f"strategy=sequence +strategy.phases.a={EVIL}", "strategy.phases.a._target_"),
        (f"+extra=[1,[{EVIL}]]", "extra.1.0._target_"),
    ],
)
def test_the_command_line_cannot_name_what_is_called(override: str, path: str, tmp_path: Path) -> None:
    arguments = override.split(" ", 1) if override.startswith("strategy=") else [override]
    assert_refused(run(*arguments, "tracking=none", cwd=tmp_path), tmp_path, path)


def test_a_file_cannot_name_what_is_called(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "found.yaml").write_text(FILE.format(place="trainer", part="profiler"))
    done = run("--config-dir", str(tmp_path), "experiment=found", "tracking=none", cwd=tmp_path)
    assert_refused(done, tmp_path, "trainer.profiler._target_", "pathlib.Path.touch")


def test_a_file_cannot_slip_one_in_among_typed_settings(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "found.yaml").write_text(FILE.format(place="strategy", part="search"))
    done = run("--config-dir", str(tmp_path), "experiment=found", "tracking=none", cwd=tmp_path)
    assert done.returncode != 0
    assert "Key '_target_' not in 'openai_es_strategy'" in done.stderr  # Hydra itself, since it knows the signature
    assert not list(tmp_path.rglob(MARK))


@pytest.mark.parametrize("override", [f"+hydra.callbacks.mine={EVIL}", f"hydra.callbacks={{mine: {EVIL}}}"])
def test_hydra_cannot_be_made_to_call_it_first(override: str, tmp_path: Path) -> None:
    assert_refused(run(override, "tracking=none", cwd=tmp_path), tmp_path, "hydra.callbacks")


def test_a_run_that_goes_on_cannot_either(composed: Composed, tmp_path: Path) -> None:
    identity.write_config(composed() | {"model": {"_target_": "pathlib.Path.touch", "self": MARK}}, tmp_path)
    with pytest.raises(ConfigError, match=r"model\._target_"):
        experiment.run({"resume": "here"}, tmp_path)


def test_the_check_finds_each_one_by_its_path() -> None:
    found = {"a": {"b": [0, {"_target_": "x", "c": {"_target_": "y"}}]}, "_target_": "z", "d": "_target_"}
    assert [(path, node["_target_"]) for path, node in targets.nodes(found)] == [
        ("", "z"),
        ("a.b.1", "x"),
        ("a.b.1.c", "y"),
    ]


# -- allowed ----------------------------------------------------------------------------------------------------------

MODEL = {
    "_target_": "torch.nn.Sequential",
    "_args_": [
        {"_target_": "torch.nn.Linear", "in_features": 4, "out_features": 5},
        {"_target_": "torch.nn.Tanh"},
        {"_target_": "torch.nn.Linear", "in_features": 5, "out_features": 3},
    ],
}


@pytest.fixture
def allowed(composed: Composed) -> dict[str, Any]:
    """A job whose model is no plugin."""
    small = [setting for setting in SMALL if not setting.startswith("model")]
    overrides = [*small, "budget.forwards=1e3", "trainer.enable_progress_bar=false", "strategy=adam"]
    return composed(*overrides, "instantiate_targets=true") | {"model": MODEL}


def test_a_target_stands_in_for_a_plugin_where_that_is_asked_for(allowed: dict[str, Any], tmp_path: Path) -> None:
    job = experiment.Job(allowed, tmp_path / "job")
    assert [type(part).__name__ for part in job.trial.model] == ["Linear", "Tanh", "Linear"]
    summary = experiment.run(allowed, tmp_path / "run", instantiate_targets=True).summary
    assert summary["model/parameters"] == 4 * 5 + 5 + 5 * 3 + 3
    assert identity.read_config(tmp_path / "run")["model"] == MODEL
    assert identity.tags(allowed)["hybridopt.model"] == "torch.nn.Sequential"
    assert identity.run_name(allowed) == "adam · iris · seed 0"


def test_its_draws_follow_the_seed(allowed: dict[str, Any], tmp_path: Path) -> None:
    one, same, other = (experiment.Job(allowed | {"seed": seed}, tmp_path).trial.model[0].weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.slow
def test_from_a_file_of_the_users_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    lines = ["_target_: torch.nn.Linear", "in_features: 4", "out_features: 3"]
    (tmp_path / "model" / "mine.yaml").write_text("\n".join(lines))
    chosen = [
        "--config-dir",
        ".",
        "model=mine",
        "dataset=iris",
        "strategy=adam",
        "tracking=none",
        "budget.forwards=1e3",
    ]
    done = run(*chosen, "instantiate_targets=true", "budget.marks=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "15 parameters" in done.stdout


def test_hydras_policy_stays_on(allowed: dict[str, Any], tmp_path: Path) -> None:
    allowed["model"] = {"_target_": "os.system", "command": f"touch {tmp_path / MARK}"}
    with pytest.raises(ConfigError, match=r"^_target_=os\.system cannot be instantiated: .*\.$"):
        experiment.run(allowed, tmp_path / "run", instantiate_targets=True)
    assert not (tmp_path / MARK).exists()


def test_a_name_and_a_target_are_one_too_many(allowed: dict[str, Any], tmp_path: Path) -> None:
    allowed["model"] = {"name": "mlp", **MODEL}
    with pytest.raises(ConfigError, match=r"^model has a _target_ .* and a name .*leave one of them out\.$"):
        experiment.run(allowed, tmp_path, instantiate_targets=True)


def test_whether_it_is_allowed_is_no_part_of_what_a_run_computes(composed: Composed) -> None:
    assert identity.fingerprint(composed()) == identity.fingerprint(composed("instantiate_targets=true"))


def test_a_plugin_that_is_named_needs_no_permission(composed: Composed) -> None:
    for kind, name in [("strategy", name) for name in registry.names("strategy")]:
        config = composed(f"{kind}={name}")
        targets.check(config, False)
        assert targets.instantiate(config) == config
