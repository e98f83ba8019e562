"""Trust: no file allows itself to run code, by a setting of ours or by one of Hydra's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from jobs import SMALL

import hybridopt
from hybridopt.composition import targets
from hybridopt.errors import ConfigError, ResumeError
from hybridopt.execution import experiment, identity

MARK = "ran.txt"
EVIL = {"_target_": "pathlib.Path.touch", "self": MARK}  # whoever calls it leaves a file behind
REFUSED = r"trainer\.profiler\._target_ .* instantiate_targets=true|instantiate_targets must be true or false"
YAML = f"{{_target_: pathlib.Path.touch, self: {MARK}}}"
LOGGING = "hydra: {job_logging: {%s}}"

FILES = {  # what a file under `experiment` says, and the setting that is refused
    "callbacks": (f"hydra: {{callbacks: {{x: {YAML}}}}}", "hydra.callbacks"),
    "by interpolation": (f"trainer: {{x: {YAML}}}\nhydra: {{callbacks: {{x: '${{trainer.x}}'}}}}", "hydra.callbacks"),
    "formatter": (LOGGING % "formatters: {x: {(): os.system}}", "job_logging.formatters.x.()"),
    "filter": (LOGGING % "filters: {x: {(): os.system}}", "job_logging.filters.x.()"),
    "formatter's class": (LOGGING % "formatters: {x: {class: subprocess.Popen}}", "job_logging.formatters.x.class"),
    "handler": (LOGGING % "handlers: {x: {class: subprocess.Popen, args: [ls]}}", "job_logging.handlers.x.class"),
    "looked up": (LOGGING % "handlers: {console: {stream: 'ext://os.system'}}", "handlers.console.stream"),
    "within the config": (LOGGING % "handlers: {console: {stream: 'cfg://x'}}", "handlers.console.stream"),
    "logging by interpolation": (
        "trainer: {x: {f: {(): os.system}}}\n" + LOGGING % "formatters: '${trainer.x}'", "formatters.f.()",
    ),
    "Hydra's own log": ("hydra: {hydra_logging: {formatters: {x: {(): os.system}}}}", "hydra_logging.formatters.x.()"),
    "template": (LOGGING % "formatters: {simple: {style: '{'}}", "formatters.simple.style"),
    "another file": (LOGGING % "handlers: {file: {filename: /root/.bashrc}}", "handlers.file.filename"),
    "outside": (
        LOGGING % "handlers: {file: {filename: '${hydra.runtime.output_dir}/../x.log'}}", "handlers.file.filename",
    ),
    "not to be resolved": (LOGGING % "formatters: '${nothing.there}'", "hydra.job_logging"),
    "environment": ("hydra: {job: {env_set: {PATH: /evil}}}", "hydra.job.env_set.PATH"),
    "commands of a launcher": (
        "defaults: [{override /hydra/launcher: submitit_slurm}]\nhydra: {launcher: {partition: 'a; touch x'}}",
        "launcher.partition",
    ),
    "setup of a launcher": (
        "defaults: [{override /hydra/launcher: submitit_slurm}]\nhydra: {launcher: {setup: [touch x]}}",
        "hydra.launcher.setup",
    ),
    "nested in a launcher": (
        "defaults: [{override /hydra/launcher: submitit_slurm}]\n"
        f"hydra: {{launcher: {{additional_parameters: {{x: {YAML}}}}}}}", "additional_parameters.x._target_",
    ),
    "swept": ("hydra: {sweeper: {params: {hydra.job.env_set.PATH: /evil}}}", "hydra.sweeper.params.hydra.job"),
    "allowed by a sweeper": ("hydra: {sweeper: {params: {instantiate_targets: true}}}", "params.instantiate_targets"),
    "as if typed": ("hydra: {overrides: {hydra: [hydra.job.env_set.A=1]}}", "hydra.overrides"),
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], list[str]]:
    """A config of somebody's under ``experiment``, and the overrides that choose it."""

    def write(text: str) -> list[str]:
        folder = tmp_path / "configs" / "experiment"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "found.yaml").write_text(f"# @package _global_\n{text}\n")
        return [f"hydra.searchpath=[file://{folder.parent}]", "experiment=found"]

    return write


@pytest.mark.parametrize(("text", "setting"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("also", ["", "instantiate_targets: true\n"])
def test_no_file_has_hydra_run_code(text: str, setting: str, also: str, file: Callable[[str], list[str]]) -> None:
    with pytest.raises(ConfigError) as refused:
        hybridopt.compose(*file(also + text))
    assert setting in str(refused.value)
    assert "instantiate_targets=true" in str(refused.value)
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.parametrize(
    "text",
    [
        "hydra: {run: {dir: there}, verbose: true}",
        "hydra: {job: {env_copy: [PATH]}}",
        "defaults: [{override /hydra/launcher: joblib}]\nhydra: {launcher: {n_jobs: 2}}",
        "defaults: [{override /hydra/launcher: submitit_slurm}]\nhydra: {launcher: {partition: gpu, timeout_min: 9}}",
        "defaults: [{override /hydra/job_logging: disabled}, {override /hydra/hydra_logging: hydra_debug}]",
        "hydra: {sweeper: {params: {seed: '0,1'}}}",
        "hydra: {job_logging: {root: {level: WARNING}}}",
    ],
)
def test_a_file_may_say_how_a_job_is_run(text: str, file: Callable[[str], list[str]]) -> None:
    assert hybridopt.compose(*file(text)).seed == 0


def test_the_log_stays_in_the_directory() -> None:
    with pytest.raises(ConfigError, match=r"handlers\.file\.filename is .*\.\./x\.log"):
        hybridopt.compose("hydra.job.name=../x")


def test_what_is_typed_may_set_what_a_file_may_not(file: Callable[[str], list[str]]) -> None:
    hybridopt.compose("+hydra.job.env_set.A=1", "hydra.job_logging.handlers.file.filename=/var/log/mine.txt")
    hybridopt.compose(*file(FILES["callbacks"][0]), "instantiate_targets=true")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["instantiate_targets=true"], True),
        (["+instantiate_targets=True"], True),
        (["instantiate_targets=true", "instantiate_targets=false"], False),
        (["instantiate_targets=yes"], False),
        (["experiment=instantiate_targets=true"], False),
        (["x_instantiate_targets=true"], False),
        ([], False),
    ],
)
def test_permission_is_typed(arguments: list[str], said: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(targets.VARIABLE, "true")  # whatever it was
    targets.grant(arguments)
    assert targets.said(arguments) == targets.granted() == said


@pytest.mark.parametrize("argument", ["--experimental-rerun=c.pickle", "--exper=c.pickle", "--experimental-rerun"])
def test_no_pickle_is_run_again(argument: str) -> None:
    with pytest.raises(ConfigError, match=r"unpickles"):
        targets.check_arguments([argument, "c.pickle"])


@pytest.mark.parametrize("value", [True, "yes", "true", 1])
def test_no_directory_and_no_config_allows_itself_anything(
    value: Any, composed: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = composed(*SMALL) | {"instantiate_targets": value}
    config["trainer"] = config["trainer"] | {"profiler": EVIL}
    (tmp_path / "foreign").mkdir()
    identity.write_config(config, tmp_path / "foreign")
    for attempt in (
        lambda: experiment.run({"resume": "here"}, tmp_path / "foreign"),
        lambda: hybridopt.run("resume=foreign"),
        lambda: hybridopt.run(config),
        lambda: hybridopt.build(config),
    ):
        with pytest.raises((ConfigError, ResumeError), match=REFUSED):
            attempt()
    assert not Path(MARK).exists()


def test_for_a_directory_it_is_said_again(
    composed: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    identity.write_config(composed(*SMALL) | {"model": EVIL}, tmp_path / "mine")
    with pytest.raises(Exception, match=r"(?!.*instantiate_targets=true)"):  # that a file is no network
        hybridopt.run("resume=mine", "instantiate_targets=true")
    assert Path(MARK).exists()
