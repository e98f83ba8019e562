"""Which licences the packages have that hybridopt and its plugins run with, and whether all of them are allowed.

    python scripts/tools/licences.py

Packages are followed from what hybridopt, its run-time extras and the installed packages of plugins/ require, as far as
they are installed here; what only tests and docs need is left out. pip-licenses reads the metadata. Which licences are
allowed, and why a few others are, is in pyproject.toml under [tool.hybridopt.licences]. It exits with 1 where one is
not.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
NOT_RUN_WITH = {"test", "docs"}  # extras


def main() -> None:
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = said["project"]["optional-dependencies"].keys() - NOT_RUN_WITH
    found = licences(run_time("hybridopt", extras))
    for name, licence in found.items():
        print(f"{name:35} {licence}")
    refused = not_allowed(found, said["tool"]["hybridopt"]["licences"])
    sys.exit("\n".join(refused) or None)


def run_time(package: str, extras: Iterable[str]) -> set[str]:
    """The installed packages that a package requires with these extras, directly or through others, and itself."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = [(package, extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            required = map(Requirement, distribution(name).requires or ())
        except PackageNotFoundError:
            continue  # for another platform, or an extra that is not installed here
        found.add(name)
        for one in required:
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(one.name), each) for each in ("", *one.extras)]
    return found


def licences(packages: Iterable[str]) -> dict[str, str]:
    """Package -> its licence, in one line, as its metadata have it."""
    command = ["--from=mixed", "--with-system", "--format=json", "--packages", *sorted(packages)]
    done = subprocess.run([sys.executable, "-m", "piplicenses", *command], capture_output=True, text=True, check=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return {canonicalize_name(row["Name"]): " ".join(row["License"].split())[:200] for row in rows}


def not_allowed(found: Mapping[str, str], rules: Mapping[str, Any]) -> list[str]:
    """The packages whose licences are not allowed, as sentences.

    Args:
        found: package -> licence: names and SPDX expressions.
        rules: ``allowed``: licences; ``read``: package -> the licence that is in its files, where the metadata do not
            tell; ``exceptions``: pattern of packages -> why another licence is no obstacle.
    """
    told = {**found, **{name: licence for name, licence in rules["read"].items() if name in found}}
    return [
        f"{name} has the licence {licence!r}, which is not among those allowed: do without it, or say in "
        "pyproject.toml under [tool.hybridopt.licences] why it is no obstacle."
        for name, licence in told.items()
        if not any(fnmatch(name, pattern) for pattern in rules["exceptions"])
        and not set(re.split(r"; | AND | OR ", licence)) <= set(rules["allowed"])
    ]


if __name__ == "__main__":
    main()
