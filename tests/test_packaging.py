"""What is installed is what is in the tree: packages, entry points, and the presets as ``hybridopt.conf``."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from hybridopt.toolbox.extras import PARTS

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ("hybridopt", "conf", "pyproject.toml", "README.md", "LICENSE")
PRESETS = sorted(str(path.relative_to(ROOT / "conf")) for path in (ROOT / "conf").rglob("*.yaml"))


FOLDERS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


def project_in(folder: Path) -> dict[str, Any]:
    """What a folder's pyproject.toml says of its project."""
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_folder_is_installed(pyproject: dict[str, Any]) -> None:
    folders = {file.parent.relative_to(ROOT) for file in (ROOT / "hybridopt").rglob("*.py")}
    on_disk = {".".join(folder.parts) for folder in folders}
    assert set(pyproject["tool"]["setuptools"]["packages"]) == on_disk | {"hybridopt.conf"}
    assert [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").exists()] == []


def test_the_extra_names_the_packages_of_the_tree(pyproject: dict[str, Any]) -> None:
    own = {project["name"] for project in map(project_in, FOLDERS) if project["name"] != "hybridopt"}
    assert set(pyproject["project"]["optional-dependencies"]["plugins"]) == own


def test_what_an_extra_adds_is_what_is_missed_without_it(pyproject: dict[str, Any]) -> None:
    extras = pyproject["project"]["optional-dependencies"]
    assert {Requirement(text).name for text in extras["report"]} == set(PARTS["report"].values())
    (mlflow,) = extras["ui"]
    served = {Requirement(text).name.lower() for text in importlib.metadata.requires(Requirement(mlflow).name) or ()}
    skinny = {Requirement(text).name.lower() for text in importlib.metadata.requires("mlflow-skinny") or ()}
    assert set(PARTS["ui"]) <= served - skinny


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_installed_entry_points_are_those_of_the_tree(folder: Path) -> None:
    project = project_in(folder)
    declared = {**project["entry-points"], "console_scripts": project.get("scripts", {})}
    for installed in importlib.metadata.distributions(name=project["name"]):
        found: dict[str, dict[str, str]] = {"console_scripts": {}}
        for entry in installed.entry_points:
            found.setdefault(entry.group, {})[entry.name] = entry.value
        assert found == declared, f"the metadata is older than pyproject.toml: type pip install --editable {folder}"


# -- wheel ------------------------------------------------------------------------------------------------------------

SHOW_CONFIG = """
import sys, hybridopt, hybridopt.conf
from hybridopt.programs.run import main
print(hybridopt.__file__, hybridopt.conf.__file__, sep="\\n", file=sys.stderr)
sys.argv = ["hybridopt", "--cfg", "job"]
main()
"""


def show_config(cwd: Path, **variables: str) -> tuple[dict[str, Any], list[Path]]:
    """The default config as the program finds it, and the files of hybridopt and hybridopt.conf."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW_CONFIG],
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout), [Path(line) for line in done.stderr.splitlines()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy of the tree so that nothing is left behind in it."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in SHIPPED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tree / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", out, tree]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


def test_wheel_holds_exactly_the_modules_and_presets_of_the_tree(wheel: Path) -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "hybridopt").rglob("*.py")}
    for folder in ("programs/plugins/templates", "studies/stored"):
        modules |= {str(path.relative_to(ROOT)) for path in (ROOT / "hybridopt" / folder).iterdir()}
    modules.add("hybridopt/py.typed")
    presets = {f"hybridopt/conf/{preset}" for preset in PRESETS}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == modules | presets | {"hybridopt/conf/__init__.py"}


def test_the_presets_are_found_in_a_wheel_and_in_the_tree(wheel: Path, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    from_wheel, wheel_files = show_config(elsewhere, PYTHONPATH=str(site))
    from_tree, tree_files = show_config(elsewhere)
    assert wheel_files == [site / "hybridopt" / "__init__.py", site / "hybridopt" / "conf" / "__init__.py"]
    assert tree_files == [ROOT / "hybridopt" / "__init__.py", ROOT / "conf" / "__init__.py"]
    assert from_wheel == from_tree
    assert from_tree["strategy"]["name"]
