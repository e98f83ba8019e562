"""Every program says by which code it would compute, and imports nothing heavy for that."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import distribution, version
from pathlib import Path

from fake_packages import VERSION, install, on_path

from hybridopt.execution.code import package_version
from hybridopt.programs.version import text

PROGRAMS = sorted(entry.name for entry in distribution("hybridopt").entry_points if entry.group == "console_scripts")
CALL = """
import sys
from importlib.metadata import distribution
announced = distribution("hybridopt").entry_points
entries = {entry.name: entry for entry in announced if entry.group == "console_scripts"}
sys.argv[1:] = ["--version"]
for name in sys.stdin.read().split():
    try:
        entries[name].load()()
    except SystemExit as ended:
        assert not ended.code
    print("end of", name)
print(*sorted(sys.modules.keys() & {"torch", "mlflow", "pytorch_lightning", "nevergrad", "sklearn", "pandas"}))
"""


def test_every_program_tells_the_same_and_imports_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALL], input=" ".join(PROGRAMS), capture_output=True, text=True, cwd=tmp_path, check=True
    )
    *told, imported = done.stdout.split("end of ")
    imported = imported.partition("\n")[2].strip()
    assert len(told) == len(PROGRAMS) == 7
    assert {one.partition("\n")[2] if place else one for place, one in enumerate(told)} == {told[0]}
    assert told[0].startswith(f"hybridopt {version('hybridopt')}")
    assert imported == ""
    assert list(tmp_path.iterdir()) == []


def test_versions_are_those_that_are_installed(tmp_path: Path) -> None:
    install(tmp_path, "acme-es", "class Acme: ...", strategy={"acme": "Acme"})
    with on_path(tmp_path):
        lines = text().splitlines()
    assert f"python {platform.python_version()}" in lines
    assert f"torch {version('torch')}" in lines
    assert any(line.startswith(f"acme-es {VERSION} (") for line in lines)  # its code lies in a folder


def test_a_package_that_is_not_there_is_unknown() -> None:
    assert package_version("no-such-package") == "no-such-package==unknown"


def test_an_installed_package_has_its_version_alone() -> None:
    assert package_version("mlflow") == f"mlflow=={version('mlflow')}"
