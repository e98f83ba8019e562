"""The page on presets is true: its package, as pip would install it, its commands and its tests."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from fake_packages import announce
from jobs import LIMIT

PAGE = (Path(__file__).parent.parent / "docs" / "presets.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```(?:toml|python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
QUIET = ("tracking=none", "trainer.enable_progress_bar=false")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("acme")
    for name, text in {**FILES, "acme_lab/__init__.py": "", "acme_lab/conf/__init__.py": ""}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    announce(root, project["name"], project["entry-points"], project["version"])
    return root


def python(package: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=package, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_commands_run(package: Path) -> None:
    assert len(COMMANDS) == 3
    for command in COMMANDS:
        assert "accuracy" in python(package, "-m", "hybridopt", *shlex.split(command)[1:], *QUIET)


def test_its_tests_pass(package: Path) -> None:
    assert "2 passed" in python(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")


def test_the_comment_is_listed_and_the_presets_are_among_those_to_choose(package: Path) -> None:
    listed = python(package, "-m", "hybridopt.programs.plugins", "list")
    assert re.search(r"experiment/narrow_wine\s+acme-lab\s+0\.1\.0\s+Can wines be told apart by two numbers\?", listed)
    assert re.search(r"^dataset: .*\bsmall_wine\b", python(package, "-m", "hybridopt", "--help"), re.MULTILINE)


def test_the_page_says_in_which_order_configs_are_looked_for(package: Path) -> None:
    (package / "mine" / "experiment").mkdir(parents=True, exist_ok=True)
    for name in ("regression", "narrow_wine"):
        (package / "mine" / "experiment" / f"{name}.yaml").write_text("# @package _global_\nseed: 7\n")
    mine = ("-m", "hybridopt", "--config-dir", "mine", "--cfg", "job", "--package", "seed")
    assert "0" in python(package, *mine, "experiment=regression")
    assert "7" in python(package, *mine, "experiment=narrow_wine")
    assert "0" in python(package, *mine, "experiment=acme-lab:narrow_wine")
