"""By which code a run is computed."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from hybridopt.composition import building
from hybridopt.composition.kinds import PARTS
from hybridopt.composition.source import find_module
from hybridopt.tracking.provenance import source_version

# what hybridopt itself computes with
COMPUTING = (
    "nevergrad",
    "numpy",
    "pytorch-lightning",
    "scikit-learn",
    "scipy",
    "torch",
    "torchmetrics",
)  # hybridopt's own tools


def code_version(config: Mapping[str, Any]) -> str:
    """By which code a run is computed: hybridopt, the packages of the plugins, and those that both compute with.

    Where a package does not come from an installed distribution, its commit, or a digest of its source, is told too.
    """
    own = {"hybridopt": Path(__file__).parents[1]}
    plugins = {
        node.plugin.distribution: _source(node.plugin.entry_point.module)
        for kind in PARTS
        for node in building.walk(kind, config[kind])
        if node.plugin is not None
    }
    told = [_told(package, source) for package, source in (own | dict(sorted((plugins | own).items()))).items()]
    return ", ".join([*told, f"python=={platform.python_version()}", *_below(tuple(plugins))])


def package_version(package: str) -> str:
    """``package==version`` of hybridopt, of a package of plugins or of another one; with what tells its source from
    others of its version, where that is not installed, but used where it lies."""
    own = Path(__file__).parents[1] if package == "hybridopt" else None
    return _told(package, own or (_source_of_plugins(package) if _version(package) != "unknown" else None))


def _source(module: str) -> Path | None:
    """The folder or file of a package, by the name of one of its modules."""
    found = find_module(module.partition(".")[0])
    return Path(found.origin) if found is not None and found.origin else None


def _told(package: str, source: Path | None) -> str:
    """A package's version, and that of its source."""
    whole = source.parent if source is not None and source.name == "__init__.py" else source
    commit = source_version(whole) if whole is not None else None
    return f"{package}=={_version(package)}" + (f" ({commit})" if commit else "")


@cache
def _below(plugins: tuple[str, ...]) -> list[str]:
    """The installed packages that compute for these plugins: ours, and those that theirs ask for.

    A package of plugins that another one asks for is told as if its own were used.
    """
    named = {name for package in plugins if package != "hybridopt" for name in _asked_by(package)}
    wanted = sorted({*COMPUTING, *named} - {"hybridopt", *plugins})
    there = [package for package in wanted if _version(package) != "unknown"]
    return [_told(package, _source_of_plugins(package)) for package in there]


def _source_of_plugins(package: str) -> Path | None:
    """The folder or file of an installed package that has plugins; None of other packages."""
    announced = (one.module for one in distribution(package).entry_points if one.group.startswith("hybridopt."))
    module = next(announced, None)
    return None if module is None else _source(module)


def _asked_by(package: str) -> set[str]:
    """The packages that a package requires; none of a package without metadata, or with broken ones."""
    try:
        return {canonicalize_name(Requirement(line).name) for line in requires(package) or [] if "extra ==" not in line}
    except (PackageNotFoundError, InvalidRequirement):
        return set()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
