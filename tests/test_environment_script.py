"""What scripts/environment says and calls; programs of the same names stand for uv and for the Python of .venv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CALLED = '#!/bin/sh\necho "{name} $*" >>"$CALLS"\n{more}\n'
PYTHON = CALLED.format(name="python", more="")
MAKES = f"mkdir -p .venv/bin && cat >.venv/bin/python <<'E'\n{PYTHON}E\nchmod +x .venv/bin/python"
ONCE = "Installing hybridopt into .venv, once; this takes about two minutes.\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project with nothing but what the script reads."""
    for name in ("pyproject.toml", "scripts/constraints.txt", "plugins/one/pyproject.toml", "programs/uv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch(0o755)
    shutil.copy(ROOT / "scripts" / "environment", tmp_path / "scripts")
    return tmp_path


def ensure(tree: Path, extras: str, uv: str, **variables: str) -> tuple[str, list[str]]:
    """What the script says for these extras, and the programs that it calls."""
    (tree / "programs" / "uv").write_text(CALLED.format(name="uv", more=uv))
    calls = tree / "calls"
    calls.write_text("")
    own = {
        "PATH": f"{tree / 'programs'}{os.pathsep}{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "CALLS": str(calls),
    }
    done = subprocess.run(
        ["bash", "-euc", f". scripts/environment; ensure_environment {extras}"],
        cwd=tree,
        env={key: value for key, value in os.environ.items() if not key.startswith("UV_")} | own | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr, calls.read_text().splitlines()


def test_it_says_what_it_does_and_nothing_once_all_is_installed(tree: Path) -> None:
    said, calls = ensure(tree, "report,ui", MAKES, UV_INDEX="packages")
    assert said == ONCE
    assert [call.split(" --")[0] for call in calls] == ["uv venv", "uv pip install"]
    assert "--constraint scripts/constraints.txt" in calls[1]
    assert "--editable .[report,ui]" in calls[1]
    assert ensure(tree, "ui", MAKES, UV_INDEX="packages") == ("", [])
    (tree / "pyproject.toml").write_text("changed")
    said, (call,) = ensure(tree, "ui", MAKES, UV_INDEX="packages")
    assert "--editable .[ui]" in call


def test_pip_installs_where_uv_cannot(tree: Path) -> None:
    fails = f'case "$1" in venv) {MAKES};; *) exit 1;; esac'
    said, calls = ensure(tree, "report", fails, UV_INDEX="packages")
    assert said == f"{ONCE}uv could not install it, so pip tries.\n"
    assert [call.partition(" install")[0] for call in calls] == [
        "uv venv --quiet --seed --python " + sys.executable + " .venv",
        "uv pip",
        "python -m pip",
    ]


def test_pip_installs_where_it_alone_is_told_where_packages_are(tree: Path) -> None:
    (tree / ".venv" / "bin").mkdir(parents=True)
    (tree / ".venv" / "bin" / "python").write_text(PYTHON)
    (tree / ".venv" / "bin" / "python").chmod(0o755)
    said, (call,) = ensure(tree, "report", "", PIP_FIND_LINKS="packages")
    assert said == ONCE
    assert call.startswith("python -m pip install --quiet --constraint scripts/constraints.txt --editable .[report]")
