"""``hybridopt-plugins new``: what it writes is a package that passes its own tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import LIMIT

from hybridopt.programs.plugins.scaffold import OFFERED


def run(*command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.mark.slow
def test_generated_packages_pass_their_own_tests(tmp_path: Path) -> None:
    """One of each kind, installed and tested together, which takes a fraction of the time."""
    folders = [f"my-{kind}" for kind in OFFERED]
    for kind, folder in zip(OFFERED, folders, strict=True):
        made = run("hybridopt.programs.plugins", "new", folder, "--kind", kind, cwd=tmp_path)
        assert made.returncode == 0, made.stderr
    site = tmp_path / "site"
    places = [str(tmp_path / folder) for folder in folders]
    pip = ("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(site), *places)
    installed = run(*pip, cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    tests = run("pytest", "-v", "-p", "no:cacheprovider", *folders, cwd=tmp_path, PYTHONPATH=str(site))
    assert tests.returncode == 0, tests.stdout[-3000:]
    assert all(f"test_my_{kind}.py::" in tests.stdout for kind in OFFERED), tests.stdout[-3000:]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "my-package").mkdir()
    (tmp_path / "my-package" / "thesis.txt").write_text("of ten years")
    refused = run("hybridopt.programs.plugins", "new", "my-package", "--kind", "model", cwd=tmp_path)
    assert refused.returncode == 2
    assert "my-package is there already, and nothing is overwritten" in refused.stderr
    assert [path.name for path in (tmp_path / "my-package").iterdir()] == ["thesis.txt"]
