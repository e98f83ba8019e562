"""Layers, and the style of the code, as the tools that are configured in pyproject.toml see them."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import hybridopt

ROOT = Path(__file__).resolve().parents[1]
LINT_IMPORTS = [str(Path(sysconfig.get_path("scripts")) / "lint-imports"), "--no-cache", "--no-logo"]
CONTRACTS = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
BREACHES = {  # contract -> a file, and an import that the contract must forbid there
    "layers": ("hybridopt/core/strategy.py", "import hybridopt.execution.trial"),
    "engine": ("hybridopt/engine/parameters.py", "import hybridopt.engine.forward"),
    "core": ("hybridopt/core/spec.py", "import hybridopt.core.oracle"),
    "toolbox": ("hybridopt/toolbox/schedule.py", "import hybridopt.toolbox.gradient"),
    "composition": ("hybridopt/composition/describe.py", "import hybridopt.composition.registry"),
    "execution": ("hybridopt/execution/directory.py", "import hybridopt.execution.trial"),
    "tracking": ("hybridopt/tracking/journal.py", "import hybridopt.tracking.tracker"),
    "report": ("hybridopt/report/statistics.py", "import hybridopt.report.verdict"),
    "sweep": ("hybridopt/sweep/preview.py", "import hybridopt.sweep.grid"),
    "study": ("hybridopt/study/finding.py", "import hybridopt.study.page"),
    "by_name": ("hybridopt/execution/trial.py", "import hybridopt.strategies.hybrid.sequence"),
    "one_file_each": ("hybridopt/strategies/hybrid/sequence.py", "import hybridopt.strategies.hybrid.lottery_ticket"),
    "light": ("hybridopt/composition/describe.py", "import torch"),
    "programs": ("hybridopt/programs/sync.py", "import hybridopt.programs.ui"),
    "plugins": ("hybridopt/programs/plugins/showing.py", "import hybridopt.programs.plugins.doctor"),
    "mlflow": ("hybridopt/execution/experiment.py", "import mlflow"),
    "hydra": ("hybridopt/core/strategy.py", "import omegaconf"),
    "nevergrad": ("hybridopt/core/strategy.py", "import nevergrad"),
    "lightning": ("hybridopt/core/strategy.py", "import pytorch_lightning"),
}


def run(command: list[str], cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | variables
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_modules_import_from_lower_layers_only() -> None:
    done = run(LINT_IMPORTS)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def breached(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a copy of the tree with all the forbidden imports in it."""
    copy = tmp_path_factory.mktemp("breached")
    shutil.copytree(ROOT / "hybridopt", copy / "hybridopt", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", copy)
    for file, line in BREACHES.values():
        with (copy / file).open("a") as module:
            module.write(f"\n{line}\n")
    return run(LINT_IMPORTS, copy).stdout


@pytest.mark.parametrize("contract", CONTRACTS)
def test_contract_sees_a_breach(contract: str, breached: str) -> None:
    """The contract is broken, and the report of it names the forbidden import."""
    name = CONTRACTS[contract]
    assert re.search(rf"^{re.escape(name)} BROKEN$", breached, re.MULTILINE), breached
    sections = re.split(r"^(\S.*)\n-+$", breached, flags=re.MULTILINE)
    report = " ".join(sections[sections.index(name) + 1].split())  # lines are broken anywhere
    file, line = BREACHES[contract]
    importer = file.removesuffix(".py").replace("/", ".")
    assert re.search(rf"\b{re.escape(importer)} -> {re.escape(line.removeprefix('import '))}\b", report), report


@pytest.mark.parametrize("package", sorted((ROOT / "plugins").glob("hybridopt-*")), ids=lambda folder: folder.name)
def test_packages_in_plugins_build_on_the_public_names_alone(package: Path) -> None:
    public = {"hybridopt", "hybridopt.study", "hybridopt.toolbox", *(f"hybridopt.{name}" for name in hybridopt.__all__)}
    found = {(file.name, name) for file in package.glob("hybridopt_*/**/*.py") for name in imported(file.read_text())}
    ours = {(file, name) for file, name in found if name.split(".")[0] == "hybridopt"}
    private = {(file, name) for file, name in ours if ".".join(name.split(".")[:2]) not in public}
    assert ours
    assert not private, f"import these from hybridopt, hybridopt.toolbox or hybridopt.study: {sorted(private)}"


def imported(source: str) -> set[str]:
    """Whatever a module's import statements name, in full, wherever they stand."""
    statements = list(ast.walk(ast.parse(source)))
    plain = [statement for statement in statements if isinstance(statement, ast.Import)]
    parts = [statement for statement in statements if isinstance(statement, ast.ImportFrom)]
    names = {alias.name for statement in plain for alias in statement.names}
    return names | {f"{statement.module}.{alias.name}" for statement in parts for alias in statement.names}


@pytest.mark.parametrize("check", [["check"], ["format", "--check"]], ids=" ".join)
def test_style(check: list[str]) -> None:
    done = run([sys.executable, "-m", "ruff", *check, "--no-cache", "hybridopt", "plugins", "tests", "scripts"])
    assert done.returncode == 0, f"{done.stdout}\nto mend most of it, type: ruff check --fix; ruff format"


@pytest.mark.slow
def test_types() -> None:
    quiet = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}  # or else it asks the network for a newer version
    done = run([sys.executable, "-m", "pyright", "--pythonpath", sys.executable], **quiet)
    assert done.returncode == 0, done.stdout + done.stderr
