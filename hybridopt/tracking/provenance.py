"""Who runs which code: the user, and git's commits."""

from __future__ import annotations

import getpass
import subprocess
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
    """The full hash of the commit that is checked out around ``directory``; None without git, repository or commit."""
    return _git(directory, "rev-parse", "--verify", "HEAD")


def own_commit() -> str | None:
    """The full hash of the commit that hybridopt runs from; None for an installed package."""
    return None if _is_installed() else commit(SOURCE)


@cache
def own_version() -> str | None:
    """The short hash of that commit, "-dirty" where files were changed since; None for an installed package."""
    return None if _is_installed() else _git(SOURCE, "describe", "--always", "--dirty", "--exclude=*")


def _is_installed() -> bool:
    return "site-packages" in SOURCE.parts  # an environment lies in somebody else's repository


def _git(directory: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(directory), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
