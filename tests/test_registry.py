"""Plugins of packages that are really installed: found, refused, built, and traced back to where they come from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_packages import VERSION, install, on_path
from omegaconf import OmegaConf

from hybridopt.composition import building, registry
from hybridopt.composition.compose import compose
from hybridopt.errors import ConfigError, PluginError

MAKE = "def make(size: int = 3):\n    '''{summary}'''\n    return size\n"


# -- names ------------------------------------------------------------------------------------------------------------


def test_a_plugin_is_listed_and_described_without_being_imported(tmp_path: Path) -> None:
    source = MAKE.format(summary="The answer.") + "raise RuntimeError('imported')\n"
    module = install(tmp_path, "acme", source, model={"widget": "make"})
    with on_path(tmp_path):
        assert "widget" in registry.names("model")
        description = registry.find("model", "widget").describe()
        assert module not in sys.modules
    assert description.summary == "The answer."
    assert [(setting.name, setting.type, setting.default) for setting in description.parameters] == [("size", int, 3)]


def test_each_kind_has_its_own_names(tmp_path: Path) -> None:
    plugins = {kind: {f"{kind}_of_acme": "make"} for kind in registry.GROUPS}
    install(tmp_path, "acme", MAKE, **plugins)
    with on_path(tmp_path):
        for kind in registry.GROUPS:
            assert [name for name in registry.names(kind) if name.endswith("_of_acme")] == [f"{kind}_of_acme"]
            assert registry.names(kind) == sorted(registry.names(kind))


def test_an_unknown_name_is_refused_with_the_nearest_and_all_others(tmp_path: Path) -> None:
    install(tmp_path, "acme", MAKE, model={"widget": "make"})
    with on_path(tmp_path), pytest.raises(PluginError) as caught:
        registry.find("model", "wigdet")
    assert "no model called 'wigdet'" in str(caught.value)
    assert "Did you mean 'widget'?" in str(caught.value)
    assert all(name in str(caught.value) for name in [*registry.names("model"), "widget"])


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(PluginError, match=r"no kind of plugin called 'strategie'\. Did you mean 'strategy'\?"):
        registry.names("strategie")


def test_a_name_like_no_other_brings_no_suggestion() -> None:
    with pytest.raises(PluginError) as caught:
        registry.find("model", "0")
    assert "Did you mean" not in str(caught.value)


def test_provenance_says_what_to_install_and_where_the_code_is(tmp_path: Path) -> None:
    module = install(tmp_path, "acme-models", MAKE, model={"widget": "make"})
    with on_path(tmp_path):
        plugin = registry.find("model", "widget")
        assert (plugin.distribution, plugin.version) == ("acme-models", VERSION)
        assert building.provenances("model", {"name": "widget"}) == {"model": f"acme-models=={VERSION} {module}:make"}


def test_provenance_of_nested_plugins_goes_by_their_path(tmp_path: Path) -> None:
    source = "from hybridopt import Strategy\ndef make(first: Strategy, parts: dict[str, Strategy]):\n    pass\n"
    module = install(tmp_path, "acme", source, strategy={"outer": "make"})
    leaf = {"name": registry.names("strategy")[0]}
    with on_path(tmp_path):
        found = building.provenances(
            "strategy", {"name": "outer", "first": {"name": "outer", "first": leaf, "parts": {}}, "parts": {"a": leaf}}
        )
        inner = registry.find("strategy", leaf["name"]).provenance
    outer = f"acme=={VERSION} {module}:make"
    assert found == {
        "strategy": outer,
        "strategy.first": outer,
        "strategy.first.first": inner,
        "strategy.parts.a": inner,
    }


def test_the_walk_leaves_out_what_is_built_and_says_what_stands_in_for_a_plugin(tmp_path: Path) -> None:
    source = "from hybridopt import Strategy\ndef make(parts: dict[str, Strategy], last: Strategy | None = None): ...\n"
    install(tmp_path, "acme", source, strategy={"outer": "make"})
    target = {"_target_": "acme.Thing", "size": 3}
    with on_path(tmp_path):
        config = {"name": "outer", "parts": {"one": target, "two": object(), "three": {"name": "outer", "parts": {}}}}
        nodes = list(building.walk("strategy", config, "job"))
        found = building.provenances("strategy", config)
    assert [(node.path, node.kind) for node in nodes] == [
        ("job", "strategy"),
        ("job.parts.one", "strategy"),
        ("job.parts.three", "strategy"),
    ]
    assert (nodes[1].plugin, nodes[1].settings) == (None, target)
    assert found["strategy.parts.one"] == "acme.Thing"


# -- broken packages --------------------------------------------------------------------------------------------------

BROKEN = {
    "raises": "raise RuntimeError('boom')\n" + MAKE,
    "misses a dependency": "import no_such_package_anywhere\n" + MAKE,
    "has a syntax error": "def make(:\n",
    "lacks the object": "def another():\n    pass\n",
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_package_harms_nobody_until_it_is_chosen(fault: str, tmp_path: Path) -> None:
    install(tmp_path, "broken-package", BROKEN[fault], model={"broken": "make"})
    install(tmp_path, "sound-package", MAKE, model={"sound": "make"})
    with on_path(tmp_path):
        assert {"broken", "sound"} <= set(registry.names("model"))
        assert building.build("model", {"name": "sound", "size": 5}) == 5
        with pytest.raises(
            PluginError, match=r"^The model plugin 'broken' of the package 'broken-package' failed.*\.$"
        ):
            building.build("model", {"name": "broken"})


def test_entry_point_that_is_no_reference_is_refused_when_chosen(tmp_path: Path) -> None:
    install(tmp_path, "broken-package", MAKE, model={"broken": "not an object"})
    with on_path(tmp_path):
        assert "broken" in registry.names("model")
        with pytest.raises(PluginError, match="broken-package"):
            building.build("model", {"name": "broken"})


def test_the_program_works_with_a_broken_package_installed(tmp_path: Path) -> None:
    install(tmp_path, "broken-package", BROKEN["has a syntax error"], model={"broken": "make"})
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hybridopt", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert re.search(r"^model: .*\bbroken\b", call("--help").stdout, re.MULTILINE)
    assert call("--cfg", "job").returncode == 0
    refused = call("model=broken", "--cfg", "job")
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr
    assert "The model plugin 'broken' of the package 'broken-package' failed to import (SyntaxError" in refused.stderr


# -- two packages, one name -------------------------------------------------------------------------------------------


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    """Two packages that both bring a model ``twin``."""
    for number, package in enumerate(("acme-models", "zenith")):
        source = f"def make(size: int = {number}):\n    return '{package}', size\n"
        install(tmp_path, package, source, model={"twin": "make"})
    return tmp_path


def test_a_name_that_two_packages_claim_is_refused(twins: Path) -> None:
    with on_path(twins):
        assert [name for name in registry.names("model") if "twin" in name] == ["acme-models:twin", "zenith:twin"]
        with pytest.raises(PluginError, match=r"'acme-models' and 'zenith'|'zenith' and 'acme-models'") as caught:
            registry.find("model", "twin")
    assert re.search(r"(acme-models|zenith):twin", str(caught.value))


@pytest.mark.parametrize("spelling", ["acme-models", "Acme_Models", "acme.models"])
def test_the_package_may_be_spelt_as_pip_lets_it(spelling: str, twins: Path) -> None:
    with on_path(twins):
        assert registry.find("model", f"{spelling}:twin").distribution == "acme-models"


@pytest.mark.parametrize("package", ["acme-models", "zenith"])
def test_the_package_before_the_name_tells_them_apart(package: str, twins: Path) -> None:
    with on_path(twins):
        assert registry.find("model", f"{package}:twin").distribution == package
        assert building.build("model", {"name": f"{package}:twin", "size": 7}) == (package, 7)


def test_a_package_without_that_plugin_is_refused(twins: Path) -> None:
    with on_path(twins), pytest.raises(PluginError, match="no model called 'nobody:twin'"):
        registry.find("model", "nobody:twin")


@pytest.mark.parametrize("package", ["acme-models", "zenith"])
def test_the_package_before_the_name_is_good_on_the_command_line(package: str, twins: Path) -> None:
    with on_path(twins):
        config = compose(f"model={package}:twin", "model.size=7")
        model: Any = OmegaConf.to_container(config.model)
        assert building.build("model", model) == (package, 7)
        assert building.provenances("model", model)["model"].startswith(package)


def test_a_package_that_is_found_twice_is_no_clash(tmp_path: Path) -> None:
    install(tmp_path / "first", "acme", MAKE, model={"widget": "make"})
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    with on_path(tmp_path / "first", tmp_path / "second"):
        assert building.build("model", {"name": "widget", "size": 2}) == 2


# -- building ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signature", "arrives"),
    [
        ("size=1", {"size": 5}),
        ("spec, size=1", {"size": 5, "spec": "the spec"}),
        ("size=1, *, seed=0, spec=None", {"size": 5, "seed": 9, "spec": "the spec"}),
        ("size=1, **others", {"size": 5, "others": {}}),
    ],
)
def test_only_what_the_signature_names_is_supplied(signature: str, arrives: dict[str, Any], tmp_path: Path) -> None:
    install(tmp_path, "acme", f"def make({signature}):\n    return locals()\n", model={"widget": "make"})
    with on_path(tmp_path):
        assert building.build("model", {"name": "widget", "size": 5}, spec="the spec", seed=9) == arrives


def test_nested_plugins_are_built_and_supplied_too(tmp_path: Path) -> None:
    source = (
        "from hybridopt import Strategy\n"
        "def outer(first: Strategy, parts: dict[str, Strategy], last: Strategy | None = None):\n"
        "    return first, parts, last\n"
        "def inner(spec, size: int = 1):\n"
        "    return spec, size\n"
    )
    install(tmp_path, "acme", source, strategy={"outer": "outer", "inner": "inner"})
    inner = {"name": "inner", "size": 4}
    config = {"name": "outer", "first": inner, "parts": {"a": inner}, "last": None}
    with on_path(tmp_path):
        assert building.build("strategy", config, spec="s") == (("s", 4), {"a": ("s", 4)}, None)


@pytest.mark.parametrize("error", ["ValueError", "TypeError"])
def test_a_plugin_that_refuses_its_settings_is_named(error: str, tmp_path: Path) -> None:
    source = f"def make(size=1):\n    raise {error}('size must be even')\n"
    install(tmp_path, "acme", source, model={"widget": "make"})
    with on_path(tmp_path), pytest.raises(ConfigError, match=r"^model=widget .*size must be even"):
        building.build("model", {"name": "widget"})


def test_a_setting_that_the_signature_lacks_is_refused(tmp_path: Path) -> None:
    install(tmp_path, "acme", MAKE, model={"widget": "make"})
    with on_path(tmp_path), pytest.raises(ConfigError, match=r"model\.colour of widget"):
        building.build("model", {"name": "widget", "colour": "red"})


def test_a_sentence_of_the_plugins_own_reaches_the_user_unchanged(tmp_path: Path) -> None:
    source = "from hybridopt.errors import ConfigError\ndef make():\n    raise ConfigError('No widgets on Mondays.')\n"
    install(tmp_path, "acme", source, model={"widget": "make"})
    with on_path(tmp_path), pytest.raises(ConfigError, match=r"^No widgets on Mondays\.$"):
        building.build("model", {"name": "widget"})


@pytest.mark.parametrize("kind", registry.GROUPS)
def test_everything_installed_loads(kind: str) -> None:
    for name, claims in registry.plugins(kind).items():
        for plugin in claims:
            assert callable(plugin.load()), name
