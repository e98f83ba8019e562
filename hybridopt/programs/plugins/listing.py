"""What is installed, one row each, from metadata and source text: nothing is imported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from hybridopt.composition import registry
from hybridopt.composition.describe import first_line
from hybridopt.composition.kinds import KINDS
from hybridopt.composition.source import find, find_module
from hybridopt.programs.plugins.capabilities import capabilities

CONFIG = "config"
REFERENCE = re.compile(r"\s*([\w.]+)\s*:\s*[\w.]+\s*(\[.*\])?\s*")  # module:object, as the packaging standard has it


@dataclass(frozen=True)
class Row:
    """One plugin, or one config that a package ships.

    Args:
        kind: a kind of plugin, or "config".
        name: as users type it.
        package: what brings it.
        version: of that package.
        target: ``module:object``, or the file of a config.
        summary: its first line.
        capabilities: what it needs or offers, in words.
        problem: what is wrong with it, as far as that shows without importing it, or None.
    """

    kind: str
    name: str
    package: str
    version: str
    target: str
    summary: str
    capabilities: tuple[str, ...] = ()
    problem: str | None = None


def rows() -> list[Row]:
    """All that is installed, by kind and name."""
    found = [row(plugin) for plugin in every_plugin()]
    return found + sorted(config_rows(), key=lambda row: (row.name, row.package))


def every_plugin() -> Iterator[registry.Plugin]:
    """All plugins of all kinds, those that claim one name included."""
    for kind in KINDS:
        for claims in registry.plugins(kind).values():
            yield from claims


def row(plugin: registry.Plugin) -> Row:
    """What metadata and source say of a plugin."""
    target = plugin.entry_point.value
    place = find(target)
    return Row(
        plugin.kind,
        name_of(plugin),
        plugin.distribution,
        plugin.version,
        target,
        first_line(place.docstring) if place is not None else "",
        tuple(capabilities(KINDS[plugin.kind], place)),
        None if place is not None else problem(target),
    )


def name_of(plugin: registry.Plugin) -> str:
    """As users type it: with the package before it where several claim the name."""
    claims = registry.plugins(plugin.kind).get(plugin.name, ())
    return f"{plugin.distribution}:{plugin.name}" if len(claims) > 1 else plugin.name


def problem(target: str) -> str | None:
    """What is wrong with an entry point's value, as far as that shows on disk."""
    reference = REFERENCE.fullmatch(target)
    if reference is None:
        return f"{target!r} is no module:object"
    return None if find_module(reference[1]) is not None else f"there is no module {reference[1]}"


def config_rows() -> Iterator[Row]:
    """The configs that packages ship."""
    found = [(package, path) for package in registry.config_packages() for path in config_files(package)]
    owners: dict[str, set[str]] = {}
    for package, path in found:
        owners.setdefault(option(package, path), set()).add(package.distribution)
    for package, path in found:
        group, slash, name = option(package, path).rpartition("/")
        prefix = f"{package.distribution}:" if len(owners[f"{group}{slash}{name}"]) > 1 else ""
        yield Row(
            CONFIG,
            f"{group}{slash}{prefix}{name}",
            package.distribution,
            package.version,
            str(path),
            first_comment(path),
        )


def config_files(package: registry.ConfigPackage) -> list[Path]:
    """The files that a package ships as configs."""
    return sorted(package.directory.rglob("*.yaml")) if package.directory is not None else []


def option(package: registry.ConfigPackage, path: Path) -> str:
    """``group/name`` of a file."""
    return path.relative_to(cast(Path, package.directory)).with_suffix("").as_posix()


def first_comment(path: Path) -> str:
    """The first comment of a file that is none of Hydra's headers."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    comments = (line.lstrip("#").strip() for line in lines if line.startswith("#"))
    return next((comment for comment in comments if comment and not comment.startswith("@")), "")
