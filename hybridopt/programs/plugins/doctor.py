"""What is wrong with the plugins that are installed, each fault with what to do about it.

Metadata and files are read here; what has to be imported is imported in processes of their own.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import Distribution, PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from hybridopt import conf
from hybridopt.composition import kinds, registry
from hybridopt.programs.plugins import isolated, listing
from hybridopt.programs.plugins.remedies import editable_project, package_of, reinstall
from hybridopt.toolbox import deprecation

GROUPS = {*kinds.GROUPS.values(), registry.CONFIGS, deprecation.GROUP}
TYPEABLE = re.compile(r"[A-Za-z_][\w.-]*")
PROCESSES = 2
COMPOSED = {*kinds.PARTS, "experiment"}  # groups whose configs make a job


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Args:
        package: the package at fault.
        what: the plugin or file, or "" where it is the whole package.
        sentence: what is wrong, and what to do.
    """

    package: str
    what: str
    sentence: str


def examine(limit: float, imports: bool = True) -> list[Finding]:
    """All that is wrong.

    Args:
        limit: seconds that the import of a plugin may take.
        imports: whether plugins are imported at all.
    """
    plugins = list(listing.every_plugin())
    packages = plugin_packages()
    found = [*unknown_groups(), *untypeable(plugins), *claimed_twice(plugins), *misplaced(plugins)]
    for package in packages:
        found += [*unmet(package), *outdated(package)]
    found += [*missing_folders(), *shipped_twice(), *hidden()]
    if imports:
        faulty = {(finding.package, finding.what) for finding in found}
        sound = [plugin for plugin in plugins if listing.problem(plugin.entry_point.value) is None]
        found += [*broken(sound, limit), *uncomposable(limit, faulty)]
    return sorted(found, key=lambda finding: (canonicalize_name(finding.package), finding.what, finding.sentence))


def plugin_packages() -> list[Distribution]:
    """The packages that announce anything to us, each once."""
    found: dict[str, Distribution] = {}
    for entry in registry.announced():
        if entry.dist is not None:
            found.setdefault(canonicalize_name(entry.dist.name), entry.dist)
    return [found[name] for name in sorted(found)]


# -- metadata ---------------------------------------------------------------------------------------------------------


def unknown_groups() -> Iterator[Finding]:
    """Entry points that nobody reads."""
    for entry in registry.announced():
        if entry.group not in GROUPS:
            close = get_close_matches(entry.group, GROUPS, n=1, cutoff=0.8)
            meant = close[0] if close else "one of " + ", ".join(sorted(GROUPS))
            yield Finding(
                package_of(entry.dist),
                f"{entry.group} {entry.name}",
                f"Nobody reads the entry point group {entry.group}: its author should write {meant}.",
            )


def untypeable(plugins: Iterable[registry.Plugin]) -> Iterator[Finding]:
    """Names that cannot be given on a command line."""
    for plugin in plugins:
        if not TYPEABLE.fullmatch(plugin.name):
            yield Finding(
                plugin.distribution,
                label(plugin),
                f"The name {plugin.name!r} cannot be typed as {plugin.kind}=<name>: its author should use letters, "
                "digits, underscores, dots and dashes only.",
            )


def claimed_twice(plugins: Iterable[registry.Plugin]) -> Iterator[Finding]:
    """Names that several packages bring."""
    for plugin in plugins:
        others = [
            other for other in registry.plugins(plugin.kind)[plugin.name] if other.distribution != plugin.distribution
        ]
        if others:
            yield Finding(
                plugin.distribution,
                label(plugin),
                f"{_listed(other.distribution for other in others)} claims this name too: type "
                f"{plugin.kind}={plugin.distribution}:{plugin.name}, or uninstall one of the packages.",
            )


def misplaced(plugins: Iterable[registry.Plugin]) -> Iterator[Finding]:
    """Metadata that points nowhere."""
    for plugin in plugins:
        problem = listing.problem(plugin.entry_point.value)
        if problem is not None:
            yield Finding(
                plugin.distribution,
                label(plugin),
                f"The metadata says {plugin.entry_point.value}, but {problem}: {reinstall(plugin.entry_point.dist)}.",
            )


def unmet(package: Distribution) -> Iterator[Finding]:
    """Requirements that what is installed does not meet, above all of hybridopt itself.

    What an extra asks for may be missing; where it is installed, it must fit too.
    """
    extras = package.metadata.get_all("Provides-Extra") or ()
    for text in package.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            yield Finding(package.name, "", f"It requires {text!r}, which is no requirement: {reinstall(package)}.")
            continue
        marker = requirement.marker
        wanted = marker is None or marker.evaluate({"extra": ""})
        if not wanted and not any(marker.evaluate({"extra": extra}) for extra in extras if marker is not None):
            continue
        requirement.marker = None  # it has been read, and is nothing to type
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            if not wanted:
                continue
            yield Finding(
                package.name,
                "",
                f"It requires {requirement}, which is not installed: type pip install '{requirement}'.",
            )
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            yield Finding(
                package.name,
                "",
                f"It requires {requirement}, but {requirement.name} {found} is installed: type pip install --upgrade "
                f"{package.name}, or pip install '{requirement}'.",
            )


def outdated(package: Distribution) -> Iterator[Finding]:
    """An editable install whose pyproject.toml announces other plugins than its metadata."""
    project = editable_project(package)
    if project is None:
        return
    try:
        declared = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    except (OSError, KeyError, TypeError, ValueError):
        return  # a folder that is gone shows by modules that are not there
    entries = package.entry_points
    for group in sorted(GROUPS):
        installed = {entry.name: entry.value for entry in entries if entry.group == group}
        for name, value in sorted(installed.items() ^ declared.get(group, {}).items()):
            state = "is not installed yet" if declared.get(group, {}).get(name) == value else "is no longer there"
            yield Finding(
                package.name,
                f"{group} {name}",
                f"{name} = {value} of {project / 'pyproject.toml'} {state}: {reinstall(package)}.",
            )


# -- configs ----------------------------------------------------------------------------------------------------------


def missing_folders() -> Iterator[Finding]:
    """Packages of configs that are not there."""
    for package in registry.config_packages():
        if package.directory is None:
            yield Finding(
                package.distribution,
                f"{registry.CONFIGS} {package.entry_point.name}",
                f"The metadata says that configs are in {package.entry_point.value}, and there is no such package: "
                f"{reinstall(package.entry_point.dist)}.",
            )


def shipped_twice() -> Iterator[Finding]:
    """Configs that several packages ship."""
    owners = config_owners()
    for option, packages in sorted(owners.items()):
        group, _, name = option.rpartition("/")
        for package in packages if len(packages) > 1 else ():
            yield Finding(
                package,
                f"{option}.yaml",
                f"{_listed(other for other in packages if other != package)} ships this config too: type "
                f"{group}={package}:{name}, or uninstall one of the packages.",
            )


def hidden() -> Iterator[Finding]:
    """Configs that nobody reaches by their name, since hybridopt has one of that name."""
    ours = Path(conf.__file__).parent
    for option, packages in sorted(config_owners().items()):
        group, _, name = option.rpartition("/")
        plugin = group in kinds.GROUPS and name in registry.plugins(group)
        if (ours / f"{option}.yaml").exists() or plugin:
            for package in packages:
                yield Finding(
                    package,
                    f"{option}.yaml",
                    f"{'A plugin' if plugin else 'A config of hybridopt'} has this name and comes first: type "
                    f"{group}={package}:{name}, or ask its author for another name.",
                )


def config_owners() -> dict[str, list[str]]:
    """``group/name`` -> the packages that ship it."""
    owners: dict[str, list[str]] = {}
    for package in registry.config_packages():
        for path in listing.config_files(package):
            owners.setdefault(listing.option(package, path), []).append(package.distribution)
    return {option: sorted(set(packages)) for option, packages in owners.items()}


def uncomposable(limit: float, faulty: set[tuple[str, str]]) -> Iterator[Finding]:
    """Configs with which no job can be composed, for reasons of their own."""
    found = [
        (package.distribution, option)
        for package in registry.config_packages()
        for option in (listing.option(package, path) for path in listing.config_files(package))
        if option.partition("/")[0] in COMPOSED and (package.distribution, f"{option}.yaml") not in faulty
    ]
    items = [
        {"override": f"{option.rpartition('/')[0]}={package}:{option.rpartition('/')[2]}"} for package, option in found
    ]
    for (package, option), answer in zip(found, isolated.answers("compose", items, limit), strict=True):
        if answer.fault is not None:
            yield Finding(
                package,
                f"{option}.yaml",
                f"No job can be composed with it, {answer.fault.rstrip('.')}: upgrade or repair the package.",
            )


# -- imports ----------------------------------------------------------------------------------------------------------


def broken(plugins: Sequence[registry.Plugin], limit: float) -> list[Finding]:
    """Plugins that cannot be imported, are not of their kind, or print while they are imported."""
    by_package: dict[str, list[registry.Plugin]] = {}
    for plugin in plugins:
        by_package.setdefault(plugin.distribution, []).append(plugin)
    with ThreadPoolExecutor(PROCESSES) as pool:
        examined = pool.map(lambda own: list(_imported(own, limit)), by_package.values())
        return [finding for findings in examined for finding in findings]


def _imported(plugins: Sequence[registry.Plugin], limit: float) -> Iterator[Finding]:
    answers = isolated.answers("load", [isolated.item(plugin) for plugin in plugins], limit)
    for plugin, answer in zip(plugins, answers, strict=True):
        fault = answer.fault or (answer.value or {}).get("fault")
        remedy = reinstall(plugin.entry_point.dist)
        if fault is not None and fault[0].isupper():
            yield Finding(plugin.distribution, label(plugin), fault)  # a sentence of our own, with its remedy
        elif fault is not None:
            yield Finding(plugin.distribution, label(plugin), f"When it is imported, {fault}: {remedy}.")
        elif answer.noise.strip():
            printed = answer.noise.strip().splitlines()[0]
            yield Finding(
                plugin.distribution,
                label(plugin),
                f"It prints when it is imported ({printed!r}), which would spoil what programs print: {remedy}.",
            )


# -- words ------------------------------------------------------------------------------------------------------------


def label(plugin: registry.Plugin) -> str:
    """How a plugin is named in the findings."""
    return f"{plugin.kind} {plugin.name}"


def _listed(names: Iterable[str]) -> str:
    return " and ".join(sorted(set(names)))
