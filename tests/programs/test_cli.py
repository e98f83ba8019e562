"""The program as a user types it: help, completion and refusals, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from jobs import LIMIT

from hybridopt.composition import registry
from hybridopt.composition.kinds import CONFIGURED, PARTS
from hybridopt.errors import ConfigError
from hybridopt.execution.identity import write_config
from hybridopt.programs.folders import check_no_run

HEAVY = frozenset({"torch", "pytorch_lightning", "lightning_fabric", "mlflow", "nevergrad", "sklearn", "pandas"})
PROGRAMS = {
    "python -m hybridopt": [sys.executable, "-m", "hybridopt"],
    "hybridopt": [str(Path(sysconfig.get_path("scripts")) / "hybridopt")],
}
INSTALLED = [(kind, name) for kind in CONFIGURED for name in registry.names(kind)]

DRIVER = """
import contextlib, io, json, sys, traceback
from hybridopt.programs.run import main

def call(arguments):
    out, err, before, code = io.StringIO(), io.StringIO(), set(sys.modules), 0
    sys.argv = ["hybridopt", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            code = traceback.print_exc() or 1
    return {"returncode": code, "stdout": out.getvalue(), "stderr": err.getvalue(),
            "imported": sorted({name.partition(".")[0] for name in set(sys.modules) - before})}

answers = [call(arguments) for arguments in json.load(sys.stdin)]
json.dump(answers, sys.stdout)
"""


def run(command: list[str], cwd: Path, text: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program without the settings that this process was started with."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HYDRA_", "MLFLOW_"))}
    environment = inherited | {"OMP_NUM_THREADS": "1"} | variables
    return subprocess.run(
        command, cwd=cwd, env=environment, input=text, capture_output=True, text=True, timeout=LIMIT, check=False
    )


def drive(jobs: list[list[str]], cwd: Path) -> list[dict[str, Any]]:
    """Call the program with one list of arguments after the other, all in one process, since imports take seconds."""
    done = run([sys.executable, "-c", DRIVER], cwd, json.dumps(jobs))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def complete(line: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """What bash calls when a user presses tab at the end of this line."""
    return run([*PROGRAMS["python -m hybridopt"], "-sc", "query=bash"], cwd, COMP_LINE=line, **variables)


# -- help, config and completion --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def help_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    done = run([*PROGRAMS["python -m hybridopt"], "--help"], tmp_path_factory.mktemp("help"))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", CONFIGURED)
def test_help_lists_every_installed_plugin(kind: str, help_text: str) -> None:
    line = next(line for line in help_text.splitlines() if line.startswith(f"{kind}: "))
    assert line.removeprefix(f"{kind}: ").split(", ") == registry.names(kind)


@pytest.mark.parametrize("program", PROGRAMS)
def test_config_is_shown_with_overrides(program: str, tmp_path: Path) -> None:
    done = run([*PROGRAMS[program], "--cfg", "job", "seed=17", "strategy=adam", "strategy.lr=0.5"], tmp_path)
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)
    assert (shown["seed"], shown["strategy"]["name"], shown["strategy"]["lr"]) == (17, "adam", 0.5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", CONFIGURED)
def test_completion_offers_every_installed_plugin(kind: str, tmp_path: Path) -> None:
    done = complete(f"hybridopt {kind}=", tmp_path)
    assert done.stdout.split() == [f"{kind}={name}" for name in registry.names(kind)], done.stderr


def test_completion_offers_the_settings_of_ones_own_class(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("def net(width: int = 3): ...")
    for allowed, offered in (("true", ["model.name=", "model.width="]), ("false", [])):
        line = f"hybridopt model=nets:net instantiate_targets={allowed} model."
        assert complete(line, tmp_path).stdout.split() == offered


@pytest.mark.parametrize(
    "arguments",
    ["experiment=old/config.yaml", "--config-dir old", "-cd=old --config-name config", "-cp old", "-cn old/config"],
)
def test_the_config_of_a_run_is_no_preset(arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").mkdir()
    write_config({"model": {"name": "mlp"}}, tmp_path / "old")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"is the config of a run, and no preset: type rerun=old to run"):
        check_no_run(arguments.split())


def test_a_preset_may_be_called_as_a_run_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").mkdir()
    write_config({"model": {"name": "mlp"}}, tmp_path / "old")
    monkeypatch.chdir(tmp_path)
    check_no_run(["experiment=old", "--config-name", "old", "hydra.run.dir=old/config"])


def test_completion_goes_on_from_what_is_typed(tmp_path: Path) -> None:
    offered = complete("hybridopt strategy=ad", tmp_path).stdout.split()
    assert offered == [f"strategy={name}" for name in registry.names("strategy") if name.startswith("ad")]


def test_completion_offers_the_settings_of_the_chosen_plugin(tmp_path: Path) -> None:
    offered = complete("hybridopt strategy=adam strategy.", tmp_path).stdout.split()
    settings = {parameter.name for parameter in registry.find("strategy", "adam").describe().parameters}
    assert {entry.removeprefix("strategy.").rstrip("=.") for entry in offered} == settings | {"name"}


# -- nothing heavy is imported ----------------------------------------------------------------------------------------


def imports(stderr: str) -> set[str]:
    """The top-level packages in the report of ``python -X importtime``."""
    lines = [line for line in stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]], ids=" ".join)
def test_looking_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    done = run([*PROGRAMS["python -m hybridopt"], *arguments], tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert "hydra" in imports(done.stderr)  # the report is there
    assert not imports(done.stderr) & HEAVY


def test_completion_imports_nothing_heavy(tmp_path: Path) -> None:
    done = complete("hybridopt strategy=ad", tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert "hydra" in imports(done.stderr)
    assert not imports(done.stderr) & HEAVY


def chosen(kind: str, name: str) -> list[str]:
    """Overrides that choose a plugin: a part of the job, or a trigger of a phase."""
    if kind in PARTS:
        return [f"{kind}={name}"]
    return ["strategy=sequence", "+strategy/phases@strategy.phases.a=adam", f"+{kind}@strategy.until.a={name}"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """The answer to ``--cfg job`` with each installed plugin."""
    jobs = [[*chosen(kind, name), "--cfg", "job"] for kind, name in INSTALLED]
    return dict(zip(INSTALLED, drive(jobs, tmp_path_factory.mktemp("shown")), strict=True))


@pytest.mark.parametrize(("kind", "name"), INSTALLED)
def test_choosing_a_plugin_imports_nothing_heavy(kind: str, name: str, shown: dict[Any, dict[str, Any]]) -> None:
    answer = shown[kind, name]
    assert answer["returncode"] == 0, answer["stderr"]
    config = yaml.safe_load(answer["stdout"])
    assert (config[kind] if kind in PARTS else config["strategy"]["until"]["a"])["name"] == name
    if registry.find(kind, name).distribution == "hybridopt":  # others may write signatures that must be imported
        assert not HEAVY.intersection(answer["imported"])


# -- refusals ---------------------------------------------------------------------------------------------------------


class Refusal(NamedTuple):
    """A mistake, what the answer must name, and whether the experiment must be imported to see it."""

    arguments: str
    named: tuple[str, ...]
    heavy: bool = False


BY_HYDRA = {
    "a misspelt key": Refusal("seeed=3", ("seeed",)),
    "a misspelt setting": Refusal("strategy=adam strategy.lrr=1", ("strategy.lrr",)),
    "a wrong type": Refusal("strategy=adam strategy.lr=abc", ("strategy.lr", "abc", "Float")),
    "an unknown name": Refusal("strategy=adm", ("'adm'", *registry.names("strategy"))),
    "an unknown nested name": Refusal("strategy/search=adm", ("strategy/search", "'adm'", *registry.names("strategy"))),
    "an unknown nested name of another kind": Refusal(
        "strategy/encoding=masc", ("strategy/encoding", "'masc'", *registry.names("encoding"))
    ),
    "a missing value": Refusal("dataset=arrays", ("dataset.path",)),
}
BY_US = {
    "resume and other settings": Refusal("resume=. seed=3", ("seed=3", "resume")),
    "resume from nowhere": Refusal("resume=no/such/folder", ("no/such/folder",)),
    "resume by an id, without a store": Refusal("resume=0123456789abcdef", ("mlflow.db", "tracking.uri")),
    "resume of no run": Refusal("resume=.", ("no run to resume", "resume="), heavy=True),
    "a name that is a value": Refusal("strategy=adam strategy.name=adm", ("'adm'", "Did you mean 'adam'?"), heavy=True),
    "a wrong choice": Refusal(
        "strategy=adam strategy.schedule=cosin", ("strategy.schedule", "'cosin'", "cosine", "constant"), heavy=True
    ),
    "a gradient that is not there": Refusal(
        "strategy=adam objective=zero_one", ("gradient", "strategy=", "objective="), heavy=True
    ),
    "one phase that takes turns": Refusal(
        "strategy=alternate +strategy/phases@strategy.phases.a=adam",
        ("strategy=alternate needs two phases", "+strategy/phases@strategy.phases.b="),
        heavy=True,
    ),
    "a trigger of no phase": Refusal(
        "strategy=sequence +strategy/phases@strategy.phases.a=adam +trigger@strategy.until.b=steps",
        ("strategy.until names a phase b", "Choose from: a"),
        heavy=True,
    ),
    "a loss for another task": Refusal(
        "dataset=diabetes", ("classification", "regression", "objective=mse"), heavy=True
    ),
}
REFUSALS = BY_HYDRA | BY_US


class Refused(NamedTuple):
    """The answers, and the folder where the commands were typed."""

    answers: dict[str, dict[str, Any]]
    folder: Path


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Refused:
    folder = tmp_path_factory.mktemp("refused")
    light_first = sorted(REFUSALS, key=lambda mistake: REFUSALS[mistake].heavy)
    answers = drive([REFUSALS[mistake].arguments.split() for mistake in light_first], folder)
    return Refused(dict(zip(light_first, answers, strict=True)), folder)


@pytest.mark.parametrize("mistake", REFUSALS)
def test_mistakes_are_refused_by_name(mistake: str, refused: Refused) -> None:
    answer = refused.answers[mistake]
    assert answer["returncode"] not in (0, None)
    assert "Traceback" not in answer["stderr"]
    assert [word for word in REFUSALS[mistake].named if word not in answer["stderr"]] == []


@pytest.mark.parametrize("mistake", BY_US)
def test_our_refusals_are_one_sentence(mistake: str, refused: Refused) -> None:
    lines = refused.answers[mistake]["stderr"].splitlines()
    sentences = [line for line in lines if all(word in line for word in BY_US[mistake].named)]
    assert [sentence for sentence in sentences if sentence.endswith(".")], lines


@pytest.mark.parametrize("mistake", [mistake for mistake, refusal in REFUSALS.items() if not refusal.heavy])
def test_mistakes_that_show_in_the_config_are_refused_at_once(mistake: str, refused: Refused) -> None:
    assert not HEAVY.intersection(refused.answers[mistake]["imported"])


def test_nothing_has_run_when_a_mistake_is_refused(refused: Refused) -> None:
    assert list(refused.folder.rglob("*")) == []


@pytest.mark.parametrize("mistake", ["resume and other settings", "a missing value"])
def test_the_traceback_comes_back_on_request(mistake: str, tmp_path: Path) -> None:
    command = [*PROGRAMS["python -m hybridopt"], *REFUSALS[mistake].arguments.split()]
    done = run(command, tmp_path, HYDRA_FULL_ERROR="1")
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert [word for word in REFUSALS[mistake].named if word not in done.stderr] == []
