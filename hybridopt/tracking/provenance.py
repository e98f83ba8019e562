"""Who runs which code: the user, git's commits, and versions of packages."""

from __future__ import annotations

import getpass
import hashlib
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent


def user() -> str | None:
    """The user's name; None where there is none, such as in a container that runs under a bare number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def commit(directory: Path) -> str | None:
    """The commit that is checked out around ``directory``.

    Returns:
        Its full hash, with ``-dirty`` where files were changed since; None without git, repository or commit.
    """
    return _git(directory, "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40")


@cache
def source_version(package: Path) -> str | None:
    """What tells the source of a package from others of its version: the short hash of its commit, and a digest.

    Args:
        package: the folder or file of its code.

    Returns:
        Such as ``1a2b3c4``; with the digest of its modules where files were changed since, ``1a2b3c4-dirty 5e6f7a8b``;
        the digest alone where there is no repository; None for an installed package, whose version tells.
    """
    if _is_installed(package):
        return None
    folder = package if package.is_dir() else package.parent
    described = _git(folder, "describe", "--always", "--dirty", "--exclude=*")
    if described is not None and not described.endswith("-dirty"):
        return described
    found = hashlib.sha256()
    for module in sorted(package.rglob("*.py")) if package.is_dir() else [package]:
        found.update(f"{module.relative_to(folder)} ".encode() + module.read_bytes())
    return " ".join(filter(None, [described, found.hexdigest()[:8]]))


def packages_of(code: str) -> dict[str, set[str]]:
    """The versions of each package in the note of a run's code: ``a==1 (commit), b==2; a==1 (other commit), b==2``."""
    found: dict[str, set[str]] = {}
    for part in re.split(r"[;,] ", code):
        package, equal, version = part.partition("==")
        found.setdefault(package if equal else "code", set()).add(version if equal else part)
    return found


def differing_code(codes: Iterable[str]) -> str:
    """The packages of which runs had different versions, with these and how many runs had them; empty for none.

    Args:
        codes: the note of each run.
    """
    counts: dict[str, Counter[str]] = {}
    for code in codes:
        for package, versions in packages_of(code).items():
            counts.setdefault(package, Counter()).update(versions)
    mixed = {package: found for package, found in sorted(counts.items()) if len(found) > 1}
    told = {
        package: ", ".join(f"{each} ({n})" for each, n in sorted(found.items())) for package, found in mixed.items()
    }
    return "; ".join(f"{package} {versions}" for package, versions in told.items())


def _is_installed(package: Path = SOURCE) -> bool:
    return "site-packages" in package.parts  # an environment lies in somebody else's repository


def _git(directory: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(directory), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
