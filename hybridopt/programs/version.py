"""``--version``, of all programs: by which code they would compute. Metadata are read, nothing heavy is imported."""

from __future__ import annotations

import argparse
import platform
from typing import Any

from packaging.utils import canonicalize_name

FLAG = "--version"
BELOW = ("torch", "pytorch-lightning", "mlflow", "hydra-core", "nevergrad")


def text() -> str:
    """A line for each: hybridopt, Python, the libraries below it, and the installed packages of plugins.

    A package whose code is not installed, but used where it lies, has its commit too.
    """
    from hybridopt.composition.registry import announced
    from hybridopt.execution.code import package_version

    ours = "hybridopt"
    plugins = {canonicalize_name(entry.dist.name) for entry in announced() if entry.dist is not None} - {ours}
    lines = [package_version(package) for package in (ours, *BELOW, *sorted(plugins))]
    lines.insert(1, f"python=={platform.python_version()}")
    return "\n".join(line.replace("==", " ", 1) for line in lines)


class _Show(argparse.Action):
    """Prints the versions, which are looked up no sooner than they are asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *given: Any, **more: Any) -> None:
        print(text())
        parser.exit()


def add_flag(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Have a program take ``--version``.

    Returns:
        The parser.
    """
    parser.add_argument(FLAG, action=_Show, nargs=0, help="print the versions of hybridopt and what it runs with")
    return parser
