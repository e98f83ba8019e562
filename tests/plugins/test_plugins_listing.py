"""Listing reads metadata and source: quickly, with 200 plugins too, and whatever their packages do when imported."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from fake_packages import VERSION, announce, install, install_configs, on_path

from hybridopt.composition import registry
from hybridopt.core.hybrid import Hybrid
from hybridopt.programs.plugins import listing
from hybridopt.toolbox.wrapper import Wrapper

HEAVY = {"torch", "pytorch_lightning", "lightning_fabric", "mlflow", "nevergrad", "sklearn", "pandas", "numpy", "hydra"}
STRATEGY = """
import torch

from hybridopt import Search

raise RuntimeError("imported")


class Mine(Search):
    '''Strategy {number}.

    Args:
        sigma: a step.
    '''

    def __init__(self, sigma: float = 0.1):
        super().__init__()
"""


def run(*arguments: str, site: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(site)} | variables
    command = [sys.executable, "-m", "hybridopt.programs.plugins", *arguments]
    return subprocess.run(command, cwd=site, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def two_hundred(tmp_path: Path) -> Path:
    """A hundred packages of two strategies each, none of which can be imported."""
    for number in range(100):
        names = {"strategy": {f"mine_{number}": "Mine", f"again_{number}": "Mine"}}
        install(tmp_path, f"acme-{number}", STRATEGY.format(number=number), **names)
    return tmp_path


def test_two_hundred_plugins_are_listed_within_a_second_and_without_an_import(two_hundred: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run("list", "--json", site=two_hundred)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = [row for row in json.loads(done.stdout) if row["package"].startswith("acme-")]
    assert len(rows) == 200
    assert all(row["summary"].startswith("Strategy ") for row in rows)
    assert all(row["capabilities"] == ["search", "needs losses"] for row in rows)
    busy = sum(getattr(after, part) - getattr(before, part) for part in ("ru_utime", "ru_stime"))
    assert busy < 1.0  # of the processor's time, which other processes do not lengthen much


def test_nothing_heavy_is_imported(two_hundred: Path) -> None:
    done = run("list", site=two_hundred, PYTHONPROFILEIMPORTTIME="1")
    lines = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.partition(".")[0] for line in lines}
    assert "rich" in imported  # the report is there
    assert not imported & HEAVY
    assert not [name for name in imported if name.startswith("acme")]
    assert len(lines) < 400


def test_every_installed_plugin_has_a_row_with_its_summary() -> None:
    rows = {(row.kind, row.name): row for row in listing.rows()}
    for kind in registry.GROUPS:
        for name in registry.names(kind):
            plugin = registry.find(kind, name)
            row = rows[kind, name]
            assert (row.package, row.version, row.problem) == (plugin.distribution, plugin.version, None)
            assert row.summary == plugin.describe().summary, name


def test_capabilities_are_what_the_imported_classes_say() -> None:
    for row in listing.rows():
        loaded = registry.find(row.kind, row.name).load() if row.kind in registry.GROUPS else None
        requires = getattr(loaded, "requires", None)
        if row.kind == "strategy" and isinstance(requires, frozenset):
            assert [word for word in row.capabilities if word.startswith("needs")] == [
                f"needs {x}" for x in sorted(requires)
            ]
        if row.kind == "strategy" and isinstance(requires, property):  # it needs what its parts need
            assert not [word for word in row.capabilities if word.startswith("needs")]
        if row.kind == "strategy" and isinstance(loaded, type):
            assert ("hybrid" in row.capabilities) == issubclass(loaded, Hybrid)
            assert ("wrapper" in row.capabilities) == issubclass(loaded, Wrapper)
        if row.kind == "objective":
            told = {True: {"gradient"}, False: {"no gradient"}}.get(loaded.differentiable, set())  # else of its parts
            tasks = loaded.tasks if isinstance(loaded.tasks, frozenset) else frozenset()
            assert told | {f"for {task}" for task in tasks} <= set(row.capabilities)


RELATIVES = {
    "re-exported": "from {module}_home import Mine\n",
    "renamed": "from {module}_home import Mine as Other\nMine = Other\n",
    "under a condition": "if True:\n    from {module}_home import Mine\n",
    "inherited": "from {module}_home import Mine as Base\nclass Mine(Base):\n    '''Strategy 0.'''\n",
    "made by a function": "from {module}_home import Mine as Made\ndef Mine() -> Made:\n    '''Strategy 0.'''\n",
}


@pytest.mark.parametrize("relation", RELATIVES)
def test_names_are_followed_to_where_they_are_defined(relation: str, tmp_path: Path) -> None:
    module = install(tmp_path, "acme", "", strategy={"mine": "Mine"})
    (tmp_path / f"{module}.py").write_text(RELATIVES[relation].format(module=module))
    (tmp_path / f"{module}_home.py").write_text(STRATEGY.format(number=0))
    with on_path(tmp_path):
        row = listing.row(registry.find("strategy", "mine"))
    assert (row.summary, row.capabilities) == ("Strategy 0.", ("search", "needs losses"))


@pytest.mark.parametrize(
    "source",
    [
        "Mine = __import__('functools').partial(print)\n",
        "from nowhere import Mine\n",
        "from .mine import *\n",
        "Mine = Mine\n",
        "Mine = Other\nOther = Mine\n",
        "class Mine:\n",
        "class Mine(Mine):\n    pass\n",
        "",
    ],
)
def test_what_cannot_be_read_has_a_row_all_the_same(source: str, tmp_path: Path) -> None:
    install(tmp_path, "acme", source, strategy={"mine": "Mine"})
    with on_path(tmp_path):
        row = listing.row(registry.find("strategy", "mine"))
    assert (row.kind, row.name, row.package, row.version) == ("strategy", "mine", "acme", VERSION)
    assert (row.summary, row.capabilities) == ("", ())


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_module_anywhere:thing", "there is no module no_such_module_anywhere"),
        ("json.nothing.below:thing", "there is no module json.nothing.below"),
        ("not an object", "'not an object' is no module:object"),
        ("json", "'json' is no module:object"),
    ],
)
def test_a_row_says_what_is_wrong_on_disk(target: str, said: str, tmp_path: Path) -> None:
    announce(tmp_path, "acme", {"hybridopt.models": {"lost": target}})
    with on_path(tmp_path):
        assert listing.row(registry.find("model", "lost")).problem == said


def test_contested_names_are_listed_as_they_are_typed(tmp_path: Path) -> None:
    for package in ("acme", "zenith"):
        install(tmp_path, package, "def make(): ...\n", model={"twin": "make"})
        install_configs(tmp_path / "more", f"{package}-lab", {"experiment/both.yaml": "# @package _global_\n# Both.\n"})
    with on_path(tmp_path, tmp_path / "more"):
        rows = [row for row in listing.rows() if row.package.startswith(("acme", "zenith"))]
    assert [row.name for row in rows] == [
        "acme:twin",
        "zenith:twin",
        "experiment/acme-lab:both",
        "experiment/zenith-lab:both",
    ]
    assert rows[-1].kind == "config"
    assert rows[-1].summary == "Both."


def test_the_table_has_a_line_for_each_row_in_a_pipe(tmp_path: Path) -> None:
    install(
        tmp_path, "acme", "def make():\n    '''Long [words] " + "on and on " * 50 + ".'''\n", model={"long": "make"}
    )
    lines = run("list", "acme", site=tmp_path).stdout.splitlines()
    assert len(lines) == 2
    assert "[words]" in lines[1]
    assert "on and on ." in lines[1]
