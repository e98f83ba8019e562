"""The doctor finds each fault by itself, says what to do, and blames nobody else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from fake_packages import announce, install, install_configs, on_path

from hybridopt.composition import registry
from hybridopt.programs.plugins import doctor, listing

FINE = "def make(size: int = 3):\n    '''A thing.'''\n"
EXPERIMENT = "# @package _global_\ndefaults:\n  - override /strategy: {strategy}\n"


def examine(*roots: Path, imports: bool = False, jobs: bool = False, limit: float = 60) -> list[doctor.Finding]:
    """What is found about the packages in these folders; their imports, and all jobs, are tried where that is asked."""
    with on_path(*roots):
        own = {
            entry.dist.name
            for entry in registry.announced()
            if entry.dist is not None and Path(str(entry.dist.locate_file(""))) in roots
        }
        found = doctor.examine(limit=60, imports=False)
        if imports:
            plugins = [plugin for plugin in listing.every_plugin() if plugin.distribution in own]
            found += doctor.broken(plugins, limit=limit)
        if jobs:
            found += doctor.uncomposable(60, set())
    return [finding for finding in found if finding.package in own]


def assert_one(found: list[doctor.Finding], what: str, *words: str) -> None:
    (finding,) = found
    assert (finding.package, finding.what) == ("acme", what)
    assert [word for word in words if word not in finding.sentence] == []
    assert finding.sentence.endswith(".")


@pytest.mark.slow
def test_sound_packages_are_well(tmp_path: Path) -> None:
    install(tmp_path, "acme", FINE, model={"thing": "make"})
    install_configs(tmp_path, "lab", {"experiment/mine.yaml": EXPERIMENT.format(strategy="adam")})
    assert examine(tmp_path, imports=True, jobs=True) == []


# -- metadata ---------------------------------------------------------------------------------------------------------


def test_a_module_that_is_gone(tmp_path: Path) -> None:
    module = install(tmp_path, "acme", FINE, model={"thing": "make"})
    (tmp_path / f"{module}.py").unlink()
    assert_one(examine(tmp_path), "model thing", f"there is no module {module}", "pip install", "pip uninstall acme")


def test_a_reference_that_is_none(tmp_path: Path) -> None:
    announce(tmp_path, "acme", {"hybridopt.models": {"thing": "nonsense"}})
    assert_one(examine(tmp_path), "model thing", "'nonsense' is no module:object")


@pytest.mark.parametrize(
    ("group", "meant"), [("hybridopt.strategy", "hybridopt.strategies"), ("hybridopt.x", "one of")]
)
def test_a_group_that_nobody_reads(group: str, meant: str, tmp_path: Path) -> None:
    announce(tmp_path, "acme", {group: {"thing": "json:loads"}})
    assert_one(examine(tmp_path), f"{group} thing", "Nobody reads", meant)


@pytest.mark.parametrize("name", ["two words", "a/b", "a,b", "3d"])
def test_a_name_that_cannot_be_typed(name: str, tmp_path: Path) -> None:
    announce(tmp_path, "acme", {"hybridopt.models": {name: "json:loads"}})
    assert_one(examine(tmp_path), f"model {name}", repr(name), "letters")


def test_two_claims_of_a_name(tmp_path: Path) -> None:
    for package in ("acme", "zenith"):
        install(tmp_path, package, FINE, model={"thing": "make"})
    one, other = examine(tmp_path)
    assert (one.package, other.package) == ("acme", "zenith")
    assert "zenith claims this name too" in one.sentence
    assert "model=acme:thing" in one.sentence
    assert "model=zenith:thing" in other.sentence


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        (
            "hybridopt<0.0.1",
            ["hybridopt<0.0.1", f"hybridopt {version('hybridopt')} is installed", "pip install --upgrade"],
        ),
        ("hybridopt>=900", ["hybridopt>=900", "pip install 'hybridopt>=900'"]),
        ("no-such-package-anywhere", ["is not installed", "pip install 'no-such-package-anywhere'"]),
        ("a package with spaces", ["is no requirement"]),
        ("PyYAML>=900; extra == 'more'\nProvides-Extra: more", ["PyYAML>=900", "PyYAML", "is installed"]),
    ],
)
def test_a_requirement_that_is_not_met(requirement: str, words: list[str], tmp_path: Path) -> None:
    announce(tmp_path, "acme", {"hybridopt.models": {"thing": "json:loads"}}, extra=f"Requires-Dist: {requirement}\n")
    assert_one(examine(tmp_path), "", *words)


def test_requirements_that_are_met_or_of_no_matter_here(tmp_path: Path) -> None:
    lines = ["hybridopt>=0.0.1", "nothing; python_version < '3'", "nothing; extra == 'test'", "PyYAML"]
    lines += ["PyYAML>=3; extra == 'test'", "PyYAML>=900; extra == 'nobody has it'"]
    extra = "".join(f"Requires-Dist: {line}\n" for line in lines) + "Provides-Extra: test\n"
    announce(tmp_path, "acme", {"hybridopt.models": {"thing": "json:loads"}}, extra=extra)
    assert examine(tmp_path) == []


def test_an_editable_install_that_is_older_than_its_project(tmp_path: Path) -> None:
    project = tmp_path / "project with space"
    project.mkdir()
    lines = ["[project]", '[project.entry-points."hybridopt.models"]', 'thing = "json:loads"', 'fresh = "json:dumps"']
    (project / "pyproject.toml").write_text("\n".join(lines))
    site = tmp_path / "site"
    metadata = announce(site, "acme", {"hybridopt.models": {"thing": "json:loads"}})
    (metadata / "direct_url.json").write_text(json.dumps({"url": project.as_uri(), "dir_info": {"editable": True}}))
    assert_one(
        examine(site),
        "hybridopt.models fresh",
        "fresh = json:dumps",
        "is not installed yet",
        f"pip install --editable {project}",
    )
    (project / "pyproject.toml").write_text("\n".join(lines[:2]))
    assert_one(examine(site), "hybridopt.models thing", "is no longer there")
    (project / "pyproject.toml").write_text("\n".join(lines[:3]))
    assert examine(site) == []


# -- configs ----------------------------------------------------------------------------------------------------------


def test_configs_that_are_not_there(tmp_path: Path) -> None:
    announce(tmp_path, "acme", {registry.CONFIGS: {"acme": "acme_nowhere.conf"}})
    assert_one(examine(tmp_path), "hybridopt.configs acme", "acme_nowhere.conf", "there is no such package")


def test_a_config_that_two_packages_ship(tmp_path: Path) -> None:
    for package in ("acme", "zenith"):
        install_configs(tmp_path, package, {"experiment/both.yaml": "# @package _global_\n"})
    one, other = examine(tmp_path)
    assert (one.what, one.package, other.package) == ("experiment/both.yaml", "acme", "zenith")
    assert "experiment=acme:both" in one.sentence
    assert "experiment=zenith:both" in other.sentence


@pytest.mark.parametrize(
    ("path", "word"), [("experiment/regression.yaml", "config of hybridopt"), ("dataset/iris.yaml", "plugin")]
)
def test_a_config_behind_one_of_its_name(path: str, word: str, tmp_path: Path) -> None:
    install_configs(tmp_path, "acme", {path: "{}\n"})
    group, _, name = path.removesuffix(".yaml").partition("/")
    assert_one(examine(tmp_path), path, word, f"{group}=acme:{name}")


@pytest.mark.slow
def test_configs_that_compose_to_no_job(tmp_path: Path) -> None:
    files = {
        "experiment/lost.yaml": EXPERIMENT.format(strategy="adm"),
        "experiment/torn.yaml": "a: [\n",
        "experiment/fine.yaml": EXPERIMENT.format(strategy="adam"),
        "dataset/fine.yaml": "name: iris\n",
    }
    install_configs(tmp_path, "acme", files)
    lost, torn = examine(tmp_path, jobs=True)
    assert (lost.what, torn.what) == ("experiment/lost.yaml", "experiment/torn.yaml")
    assert "adm" in lost.sentence
    assert "ParserError" in torn.sentence


# -- imports ----------------------------------------------------------------------------------------------------------

FAULTS = {
    "raises": ("raise RuntimeError('boom')\n", ["RuntimeError: boom", "reinstall"]),
    "exits": ("raise SystemExit(3)\n", ["SystemExit: 3"]),
    "dies": ("import os\nos._exit(7)\n", ["exit code 7", "pip install --upgrade"]),
    "is killed": ("import os\nos.kill(os.getpid(), 9)\n", ["signal 9"]),
    "hangs": ("import time\ntime.sleep(600)\n", ["not done after 4 seconds"]),
    "prints": ("print('hello')\n", ["prints when it is imported", "'hello'"]),
    "misses a dependency": ("import no_such_package_anywhere\n", ["no_such_package_anywhere"]),
    "is no Python": ("def (\n", ["SyntaxError"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_package_that_misbehaves_when_it_is_imported(fault: str, tmp_path: Path) -> None:
    source, words = FAULTS[fault]
    install(tmp_path, "acme", source + FINE, model={"thing": "make"})
    install(tmp_path, "zenith", FINE, model={"other": "make"})
    limit = 4 if fault == "hangs" else 60
    assert_one(examine(tmp_path, imports=True, limit=limit), "model thing", *words)


@pytest.mark.parametrize(
    ("kind", "source", "word"),
    [
        ("model", "make = 3\n", "no class and no function, but int"),
        ("model", "other = 3\n", "AttributeError"),
        ("strategy", "class make:\n    pass\n", "does not derive from hybridopt.Strategy"),
        ("objective", "class make:\n    pass\n", "does not derive from hybridopt.Objective"),
    ],
)
def test_an_object_that_is_none_of_its_kind(kind: str, source: str, word: str, tmp_path: Path) -> None:
    install(tmp_path, "acme", source, **{kind: {"thing": "make"}})
    assert_one(examine(tmp_path, imports=True), f"{kind} thing", word)


# -- the program ------------------------------------------------------------------------------------------------------


def run(*arguments: str, site: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "hybridopt.programs.plugins", "doctor", *arguments]
    return subprocess.run(command, cwd=site, env=environment, capture_output=True, text=True, check=False)


def test_findings_end_with_1_and_go_one_to_a_line(tmp_path: Path) -> None:
    for package in ("acme", "zenith"):
        install(tmp_path, package, FINE, model={"thing": "make"})
    done = run("--no-import", site=tmp_path)
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["acme model thing", "zenith model thing"]
    findings = json.loads(run("--no-import", "--json", site=tmp_path).stdout)
    assert [finding["package"] for finding in findings] == ["acme", "zenith"]


@pytest.mark.slow
def test_what_is_installed_here_is_well(tmp_path: Path) -> None:
    done = run(site=tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.startswith("All is well: ")
