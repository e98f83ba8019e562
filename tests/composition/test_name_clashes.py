"""A third party claims names of hybridopt's: what is shipped or saved means what it meant, what is typed is asked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_packages import announce, on_path
from jobs import SMALL
from omegaconf import OmegaConf

from hybridopt import run
from hybridopt.composition import registry
from hybridopt.composition.compose import compose
from hybridopt.composition.kinds import CONFIGURED, PARTS, TABLE
from hybridopt.composition.loader import check_callbacks
from hybridopt.errors import ConfigError, HybridoptError
from hybridopt.execution.directory import RESULT_FILE
from hybridopt.execution.identity import fingerprint, read_config
from hybridopt.sweep.controls import arms_of
from hybridopt.sweep.plan import Job
from hybridopt.testing.plugins import defaults

OURS = sorted(
    str(path.relative_to(Path(__file__).parents[2] / "conf" / "experiment").with_suffix(""))
    for path in (Path(__file__).parents[2] / "conf" / "experiment").rglob("*.yaml")
)
BUILTIN = {
    kind: [name for name, claims in registry.plugins(kind).items() if claims[0].is_builtin] for kind in registry.GROUPS
}
WITH_PARTS = [name for name in BUILTIN["strategy"] if registry.find("strategy", name).describe().nested]
SOURCE = """
from typing import Annotated
import torch
from torch import Tensor, nn
from hybridopt import DataSpec, Search, Strategy

def make(size: int = 7):
    return size

def mlp(spec: DataSpec) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(spec.input_shape).numel(), spec.output_size))

class Climb(Search):
    def __init__(self, sigma: float = 0.1):
        super().__init__()
        self.sigma = sigma

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x", x0)

    def ask(self) -> Tensor:
        noise = torch.randn(9, len(self.x), generator=self.generator)
        return torch.cat([self.x[None], self.x + self.sigma * noise])

    def tell(self, population: Tensor, losses: Tensor) -> None:
        self.x = population[losses.argmin()]

    def recommend(self) -> Tensor:
        return self.x

class Wrap(Climb):
    def __init__(self, first: Annotated[Strategy, "openai_es"], second: Annotated[Strategy, "adam"]):
        super().__init__()

    @classmethod
    def controls(cls, settings):
        without = ("strategy/second=openai_es", "strategy.first.sigma=1")
        return {"without the second": without, "alone": ("strategy=@first",)}
"""
PRESET = """# @package _global_
defaults:
  - own/of_clash
  - override /model: mlp
  - override /dataset: wine
  - override /objective: hinge
  - override /strategy: wrap
trainer:
  callbacks:
    timer:
      interval: epoch
    alignment: {}
"""


def clash(root: Path, package: str = "clash", own: Path | None = None, **plugins: dict[str, str]) -> Path:
    """Install a package with plugins, kind -> {name: object}, and presets into a folder."""
    module = f"{package}_{len(list(root.glob('*.dist-info')))}"
    groups = {
        registry.GROUPS[kind]: {name: f"{module}:{made}" for name, made in names.items()}
        for kind, names in plugins.items()
    }
    announce(root, package, groups | {registry.CONFIGS: {package: f"{module}.conf"}})
    presets = {"experiment/of_clash": PRESET, "experiment/own/of_clash": "# @package _global_\nseed: 3\n"}
    (root / module / "conf" / "experiment" / "own").mkdir(parents=True)
    (root / module / "__init__.py").write_text(SOURCE)
    (root / module / "conf" / "__init__.py").write_text("")
    for name, text in presets.items():
        (root / module / "conf" / f"{name}.yaml").write_text(text)
    return root


@contextmanager
def installed(root: Path, *packages: str, **plugins: dict[str, str]) -> Iterator[None]:
    for package in packages:
        clash(root, package, **plugins)
    with on_path(root):
        yield


@pytest.fixture
def greedy(tmp_path: Path) -> Iterator[Path]:
    """A package that claims every name there is, of each kind."""
    plugins = {kind.name: dict.fromkeys(BUILTIN[kind.name], "make") for kind in TABLE}
    plugins["strategy"] |= {"openai_es": "Climb", "wrap": "Wrap"}
    with installed(tmp_path / "site", "clash", **plugins):
        yield tmp_path / "site"


def values(*overrides: str) -> Any:
    return OmegaConf.to_container(compose(*overrides))


@pytest.fixture(scope="module")
def before() -> dict[str, Any]:
    """What composes to what while nobody else claims a name."""
    chosen = [f"experiment={name}" for name in OURS] + [f"strategy={name}" for name in WITH_PARTS]
    return {"budget=default": values(), **{override: values(override) for override in chosen}}


# -- what is shipped --------------------------------------------------------------------------------------------------


def test_defaults_presets_and_the_parts_of_hybrids_stay_hybridopts(before: dict[str, Any], greedy: Path) -> None:
    assert len(before) > 25
    for override, expected in before.items():
        assert values(override.replace("strategy=", "strategy=hybridopt:")) == expected, override


def test_a_preset_means_its_own_package_first_and_then_hybridopt(tmp_path: Path) -> None:
    claimed = {
        "strategy": {"wrap": "Wrap", "openai_es": "Climb"},
        "model": {"mlp": "mlp"},
        "callback": {"timer": "make"},
    }
    with installed(tmp_path, "acme", "zenith", **claimed):
        config = values("experiment=zenith:of_clash")
    assert [config[kind]["name"] for kind in ("strategy", "model", "dataset", "objective")] == [
        "zenith:wrap",
        "zenith:mlp",
        "wine",
        "hinge",
    ]
    assert [config["strategy"][part]["name"] for part in ("first", "second")] == ["zenith:openai_es", "adam"]
    assert config["seed"] == 3  # of a preset that both have
    assert config["trainer"]["callbacks"] == {"timer": {"interval": "epoch", "name": "zenith:timer"}, "alignment": {}}


def test_control_arms_and_the_kit_mean_what_the_package_ships(tmp_path: Path) -> None:
    with installed(tmp_path, "acme", strategy={"wrap": "Wrap", "openai_es": "Climb"}):
        job = Job([], values("strategy=wrap"), "mark", "label", tmp_path)
        assert arms_of(job) == {
            "without the second": ("strategy/second=acme:openai_es", "strategy.first.sigma=1"),
            "alone": ("strategy=@first",),
        }
        filled = defaults(registry.find("strategy", "wrap"))
    assert [filled[part]["name"] for part in ("first", "second")] == ["acme:openai_es", "adam"]


# -- what is typed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CONFIGURED)
def test_what_is_typed_is_asked_and_can_be_said(kind: str, greedy: Path) -> None:
    name = BUILTIN[kind][-1]
    group = f"{kind}=" if kind in PARTS else "+trigger@strategy.until.search="
    more = [] if kind in PARTS else ["experiment=es_then_adam"]
    sentence = rf"^The {kind} '{name}' is claimed by 'clash' and 'hybridopt': choose one as package:name, for .*\.$"
    with pytest.raises(ConfigError, match=sentence):
        compose(*more, f"{group}{name}")
    for package in ("clash", "hybridopt"):
        found = values(*more, f"{group}{package}:{name}")
        chosen = found[kind] if kind in PARTS else found["strategy"]["until"]["search"]
        assert chosen["name"] == (f"clash:{name}" if package == "clash" else name)


def test_a_users_own_files_are_typed(greedy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("# @package _global_\ndefaults:\n  - override /model: mlp\n")
    command = [sys.executable, "-m", "hybridopt", "--config-dir", "mine", "experiment=mine", "--cfg", "job"]
    environment = os.environ | {"PYTHONPATH": str(greedy)}
    refused = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert re.match(r"The model 'mlp' is claimed by 'clash' and 'hybridopt': choose one as package:", refused.stderr)


def test_a_callback_is_chosen_by_its_setting_name(greedy: Path) -> None:
    with pytest.raises(HybridoptError, match=r"by its setting name, .*\+trainer\.callbacks\.timer\.name=clash:timer"):
        compose("+trainer.callbacks.timer.interval=step")
    chosen = ("+trainer.callbacks.timer.interval=step", "+trainer.callbacks.timer.name=hybridopt:timer")
    assert values(*chosen)["trainer"]["callbacks"]["timer"] == {"interval": "step", "name": "hybridopt:timer"}
    check_callbacks(["+trainer.callbacks.timer={name: hybridopt:timer}", "trainer.callbacks.timer.interval=step"])


def test_help_and_completion_offer_what_can_be_typed(greedy: Path, tmp_path: Path) -> None:
    def say(*arguments: str, **variables: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(greedy)} | variables
        command = [sys.executable, "-m", "hybridopt", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    (line,) = re.findall(r"^model: (.*)$", say("--help"), re.MULTILINE)
    offered = say("-sc", "query=bash", COMP_LINE="hybridopt model=").split()
    assert line.split(", ") == [option.partition("=")[2] for option in offered] == sorted(registry.names("model"))
    assert {"clash:mlp", "hybridopt:mlp"} <= set(line.split(", "))


# -- what is saved ----------------------------------------------------------------------------------------------------


def again(directory: Path) -> None:
    """Let a run be half done, and go on with it."""
    (directory / RESULT_FILE).unlink()
    run(f"resume={directory}")


def test_a_run_goes_on_whoever_claims_its_names_later(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    settings = ("strategy=adam", "budget.forwards=2e3")
    run(*SMALL, *settings, directory=first)
    begun = (first / "config.yaml").read_text()
    with installed(tmp_path / "site", "acme", strategy={"adam": "Climb"}, model={"mlp": "mlp"}):
        again(first)
        run(f"rerun={first}", "tracking=none", directory=second)
        third = run(*SMALL, "strategy=hybridopt:adam", "budget.forwards=2e3", directory=tmp_path / "third")
    assert third is not None
    again(second)  # the package is gone
    assert (first / "config.yaml").read_text() == begun
    marks = {fingerprint(read_config(directory)) for directory in (first, second, tmp_path / "third")}
    assert len(marks) == 1  # a sweep that is typed again finds its jobs


@pytest.mark.parametrize("builtin", ["hybridopt", "zenith"])
def test_a_run_of_a_third_party_keeps_its_package(
    builtin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BUILTIN", builtin)  # a later hybridopt may have a plugin of that name, too
    first, second = tmp_path / "first", tmp_path / "second"
    with installed(tmp_path / "site", "acme", strategy={"climb": "Climb"}):
        run(*SMALL, "strategy=climb", "budget.forwards=4e3", directory=first)
    assert read_config(first)["strategy"]["name"] == "climb"
    with installed(tmp_path / "more", "zenith", strategy={"climb": "Wrap"}), on_path(tmp_path / "site"):
        again(first)
        run(f"rerun={first}", "tracking=none", directory=second)
        assert read_config(second)["strategy"]["name"] == "acme:climb"
    with (
        installed(tmp_path / "others", "zenith", strategy={"climb": "Climb"}),
        pytest.raises(HybridoptError, match=r"strategy"),
    ):
        again(first)  # by another package's plugin no run goes on
