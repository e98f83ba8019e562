"""Former names of plugins and settings work wherever a config comes from, and are told with the name of now."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_packages import announce, on_path
from hydra.core.global_hydra import GlobalHydra

import hybridopt
from hybridopt.composition import renamed
from hybridopt.composition.compose import plain_values
from hybridopt.composition.registry import names
from hybridopt.errors import ConfigError, ResumeError
from hybridopt.execution.agreement import check_same
from hybridopt.execution.contents import short_hash
from hybridopt.execution.identity import fingerprint, read_as_begun, read_config, write_config
from hybridopt.programs.plugins import cli
from hybridopt.programs.plugins.doctor import unknown_groups
from hybridopt.toolbox.deprecation import GROUP, Renamed

pytestmark = pytest.mark.filterwarnings("ignore:.*the former name:FutureWarning")
SOURCE = '''
from hybridopt import Strategy

class Wander(Strategy):
    """Wander."""
    requires = frozenset({"outputs"})

    def __init__(self, sigma: float = 0.5, inner: Strategy | None = None):
        super().__init__()

    def step(self, oracle, batch): ...
'''
LISTED = """
from hybridopt.toolbox.deprecation import Renamed

RENAMED = [
    Renamed("strategy", "stroll", "wander", until="2.0"),
    Renamed("strategy", "step_size", "sigma", until="2.0", plugin="wander"),
    Renamed("strategy", "momentum", None, until="2.0", plugin="wander"),
]
"""
GOES = ", since acme 2.0 will not know the former name."
TOLD = {
    "name": f"The strategy 'stroll' is now called 'wander': type strategy=wander{GOES}",
    "setting": f"strategy.step_size of wander is now called sigma: type strategy.sigma{GOES}",
    "gone": f"strategy.momentum of wander has no effect any more: leave it out{GOES}",
}


@pytest.fixture(autouse=True)
def acme(tmp_path: Path) -> Iterator[Path]:
    """A package that has renamed a strategy and settings, and ships an experiment that was written before."""
    root = tmp_path / "site"
    groups = {
        "hybridopt.strategies": {"wander": "acme_wander:Wander"},
        GROUP: {"acme": "acme_renamed:RENAMED"},
        "hybridopt.configs": {"acme": "acme_configs.conf"},
    }
    announce(root, "acme", groups)
    (root / "acme_wander.py").write_text(SOURCE)
    (root / "acme_renamed.py").write_text(LISTED)
    shipped = root / "acme_configs" / "conf" / "experiment"
    shipped.mkdir(parents=True)
    for folder in shipped.parents[0], shipped.parents[1]:
        (folder / "__init__.py").touch()
    (shipped / "before.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /strategy: stroll\nstrategy:\n  step_size: 0.25\n"
    )
    with on_path(root):
        yield root
    GlobalHydra.instance().clear()


def composed(*overrides: str) -> tuple[Any, set[str]]:
    """The strategy of a job, and what its author is told."""
    renamed._tell.cache_clear()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", FutureWarning)
        config = hybridopt.compose(*overrides)
    return config.strategy, {str(one.message) for one in said if one.category is FutureWarning}


NOW = {"name": "wander", "sigma": 0.25, "inner": None}


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["strategy=wander", "strategy.sigma=0.25"], set()),
        (["strategy=stroll", "strategy.sigma=0.25"], {"name"}),
        (["strategy=acme:stroll", "strategy.sigma=0.25"], {"name"}),
        (["strategy=wander", "strategy.step_size=0.25"], {"setting"}),
        (["strategy=stroll", "strategy.step_size=0.25", "strategy.momentum=0.9"], {"name", "setting", "gone"}),
        (["experiment=before"], {"name", "setting"}),
    ],
)
def test_what_was_typed_or_shipped_before_is_the_same_job(overrides: list[str], told: set[str]) -> None:
    strategy, said = composed(*overrides)
    assert strategy == NOW | ({"name": "acme:wander"} if overrides[0].startswith("strategy=acme:") else {})
    assert said == {TOLD[one] for one in told}


def test_nested_plugins_have_them_too() -> None:
    strategy, said = composed("strategy=wander", "strategy/inner=stroll", "strategy.inner.step_size=0.25")
    assert strategy.inner == NOW
    assert any(one.startswith("strategy.inner.step_size of wander is now called sigma") for one in said)
    assert any(
        one.endswith("type strategy/inner=wander, since acme 2.0 will not know the former name.") for one in said
    )


def test_a_setting_under_both_of_its_names_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"strategy.step_size of wander is now called sigma, and both are given"):
        hybridopt.compose("strategy=wander", "strategy.step_size=0.1", "strategy.sigma=0.2")


def test_programs_know_them_and_list_them_nowhere() -> None:
    assert [plugin.name for plugin in cli.chosen(["strategy", "stroll"])] == ["wander"]
    assert "wander" in names("strategy")
    assert "stroll" not in names("strategy")
    assert [one for one in unknown_groups() if one.package == "acme"] == []


def test_a_run_that_was_begun_before_is_the_same_run(tmp_path: Path) -> None:
    now = plain_values(hybridopt.compose("strategy=wander", "strategy.sigma=0.25"))
    now["strategy"] = {**NOW, "inner": {"name": "wander", "sigma": 1.0}}
    before = {**now, "strategy": {"name": "stroll", "step_size": 0.25, "inner": {"name": "stroll", "sigma": 1.0}}}
    write_config(before, tmp_path)
    assert read_as_begun(tmp_path)["strategy"] == before["strategy"]
    assert read_config(tmp_path)["strategy"] == now["strategy"]
    assert fingerprint(read_config(tmp_path)) == fingerprint(now)

    begun, wanted = ({"setting strategy": short_hash(one["strategy"])} for one in (before, now))
    check_same(begun, wanted, "The run has", tmp_path)  # at the first resume
    check_same(wanted, wanted, "The run has", tmp_path)  # at the next one
    other = {"setting strategy": short_hash(now["strategy"] | {"sigma": 0.5})}
    for found, expected in (other, wanted), (begun, other):
        with pytest.raises(ResumeError, match="another setting strategy"):
            check_same(found, expected, "The run has", tmp_path)


def test_a_name_that_a_plugin_has_is_nobodys_former_one(tmp_path: Path) -> None:
    other = tmp_path / "other"
    announce(other, "greedy", {GROUP: {"greedy": "greedy_renamed:RENAMED"}})
    (other / "greedy_renamed.py").write_text(LISTED.replace("stroll", "adam"))
    with on_path(other):
        assert composed("strategy=adam")[0].name == "adam"


def test_two_packages_that_had_a_name_are_told_apart(tmp_path: Path) -> None:
    other = tmp_path / "other"
    announce(other, "zeta", {GROUP: {"zeta": "zeta_renamed:RENAMED"}})
    (other / "zeta_renamed.py").write_text(LISTED.replace("wander", "adam"))
    with on_path(other):
        with pytest.raises(ConfigError, match="'stroll' is claimed by 'acme' and 'zeta': choose one as package:name"):
            hybridopt.compose("strategy=stroll")
        assert composed("strategy=acme:stroll")[0].name == "acme:wander"


LISTS = {
    "broken": ("raise RuntimeError('by mistake')", "(by mistake)"),
    "odd": (LISTED.replace('"strategy"', '"study"'), "is no Renamed of the kinds model, dataset"),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_cannot_be_read_harms_nobody(name: str, acme: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    announce(other, name, {GROUP: {name: f"{name}_renamed:RENAMED"}})
    (other / f"{name}_renamed.py").write_text(LISTS[name][0])
    told = f"What the package {name!r} has renamed cannot be read from {name}_renamed:RENAMED "
    with on_path(other), pytest.warns(UserWarning, match=re.escape(told) + ".*" + re.escape(LISTS[name][1])):
        assert hybridopt.compose("strategy=adam").strategy.name == "adam"


def test_a_plugin_that_is_gone_has_a_successor() -> None:
    with pytest.raises(ConfigError, match="names no other plugin"):
        Renamed("strategy", "stroll", None, until="2.0")
