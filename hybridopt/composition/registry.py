"""Plugins by name: entry points are listed from metadata, and loaded one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any

from packaging.utils import canonicalize_name

from hybridopt.composition import own
from hybridopt.composition.describe import Description, describe
from hybridopt.composition.kinds import GROUPS, OURS, kind_of
from hybridopt.composition.source import find_module
from hybridopt.errors import PluginError, options

CONFIGS = "hybridopt.configs"  # packages of presets and experiments
BUILTIN = "hybridopt"  # the package whose plugin a config means by a name alone

Packages = Mapping[str, frozenset[str]]  # by the name of a plugin, in a run that was begun before
_kept: ContextVar[Packages] = ContextVar("kept", default=MappingProxyType({}))


class Announced:
    """What a package announces by an entry point."""

    entry_point: EntryPoint

    @property
    def distribution(self) -> str:
        """The package that brings it."""
        return _package(self.entry_point.dist)[0]

    @property
    def version(self) -> str:
        """The version of that package."""
        return _package(self.entry_point.dist)[1]


@dataclass(frozen=True)
class Plugin(Announced):
    """An entry point and where it comes from.

    Args:
        kind: a name in :data:`hybridopt.composition.kinds.KINDS`.
        name: the name that users type.
        entry_point: imports nothing until it is loaded.
    """

    kind: str
    name: str
    entry_point: EntryPoint

    @property
    def provenance(self) -> str:
        """``distribution==version module:object``, as runs are tagged with it."""
        return f"{self.distribution}=={self.version} {self.entry_point.value}"

    @property
    def is_builtin(self) -> bool:
        """Whether hybridopt itself brings it."""
        return same_package(self.distribution, BUILTIN)

    @property
    def own_source(self) -> Path | None:
        """The file of a module of the user's own, ``module:object``; None of what a package brings."""
        return own.source(self.name) if own.is_object(self.name) else None

    def load(self) -> Any:
        """Import it.

        Raises:
            PluginError: the import failed, for whatever reason.
        """
        if own.is_object(self.name):
            return own.load(self.kind, self.name)
        try:
            return self.entry_point.load()
        except (Exception, SystemExit) as error:  # a plugin that exits on import must not end us
            raise PluginError(
                f"The {self.kind} plugin {self.name!r} of the package {self.distribution!r} failed to import "
                f"({type(error).__name__}: {error}): reinstall or repair that package, or choose another {self.kind}."
            ) from error

    def describe(self) -> Description:
        """Its parameters and summary, read from its source where that tells, imported where it does not."""
        described = describe(self.entry_point.value, self.load)
        return own.settable(described) if own.is_object(self.name) else described


@cache
def announced() -> tuple[EntryPoint, ...]:
    """What packages announce to us, in whatever group; the metadata is read once."""
    found = entry_points()
    return tuple(
        entry for group in sorted(found.groups) if group.startswith(OURS) for entry in found.select(group=group)
    )


@cache
def _package(distribution: Distribution | None) -> tuple[str, str]:
    """Name and version; either may be missing from broken metadata."""
    if distribution is None:
        return own.OWN, "0"
    metadata = distribution.metadata
    return metadata["Name"] or "unknown", metadata["Version"] or "unknown"


@cache
def plugins(kind: str) -> Mapping[str, tuple[Plugin, ...]]:
    """All plugins of a kind by name, more than one where packages claim the same name; nothing is imported.

    Raises:
        PluginError: there is no such kind.
    """
    if kind not in GROUPS:
        raise PluginError(f"There is no kind of plugin called {kind!r}.{options(GROUPS, kind)}")
    found: dict[str, dict[tuple[str, str], Plugin]] = {}
    for entry_point in announced():
        if entry_point.group != GROUPS[kind]:
            continue
        plugin = Plugin(kind, entry_point.name, entry_point)
        found.setdefault(plugin.name, {})[plugin.distribution, entry_point.value] = plugin
    return {name: tuple(plugin for _, plugin in sorted(found[name].items())) for name in sorted(found)}


def names(kind: str) -> list[str]:
    """The names of a kind as users type them, sorted: ``package:name`` where several packages claim a name."""
    return [name for bare, claims in plugins(kind).items() for name in typed(bare, [p.distribution for p in claims])]


def typed(name: str, packages: Sequence[str]) -> list[str]:
    """How a name is typed that these packages bring: as it is, or with the package before it if there are several."""
    return [name] if len(packages) == 1 else sorted(f"{package}:{name}" for package in packages)


def same_package(one: str, other: str) -> bool:
    """Whether two spellings name one package: case, dashes, underscores and dots make no difference to pip."""
    return canonicalize_name(one) == canonicalize_name(other)


def find(kind: str, name: str) -> Plugin:
    """The plugin of a name that a user types: as it is, as ``package:name``, or as ``module:object`` of a module of the
    user's own.

    Raises:
        PluginError: there is none, several packages claim the name, or the user has not allowed that module.
    """
    package, _, bare = name.rpartition(":")
    claims = plugins(kind).get(bare, ())
    if package:
        claims = tuple(plugin for plugin in claims if same_package(plugin.distribution, package))
    if not claims and names_object(name):
        return Plugin(kind, name, own.entry_point(kind, name))
    if not claims:
        raise PluginError(f"There is no {kind} called {name!r}.{options(names(kind), bare)}")
    if len(claims) > 1:
        raise PluginError(claimed(f"The {kind} {bare!r}", bare, [plugin.distribution for plugin in claims]))
    return next(iter(claims))


def meant(kind: str, name: str) -> Plugin:
    """The plugin that a config means by a name, where nobody is asked.

    Of those that several packages claim it is the one that the run was begun with (:func:`kept`), else hybridopt's own.

    Raises:
        PluginError: there is none, several other packages claim the name, or the user has not allowed that module.
    """
    claims = _claims(kind, name)
    for packages in (_kept.get().get(name, frozenset()), {BUILTIN}) if len(claims) > 1 else ():
        found = [claim for claim in claims if any(same_package(claim.distribution, package) for package in packages)]
        if len(found) == 1:
            return found[0]
    return find(kind, name)


@contextmanager
def kept(packages: Packages) -> Iterator[None]:
    """Inside, names that several packages claim mean what they meant to a run that was begun before.

    Args:
        packages: the name of a plugin -> the packages that brought it then, one for each kind that has the name.
    """
    token = _kept.set(packages)
    try:
        yield
    finally:
        _kept.reset(token)


def of_package(kind: str, name: str, package: str) -> str:
    """What a package means by the name of a plugin in what it ships: its own plugin, else hybridopt's.

    Args:
        kind: of the plugin.
        name: as it stands in the package's presets, defaults or code.
        package: that ships it.

    Returns:
        ``package:name`` where several packages claim the name and one of these two is among them; else the name.
    """
    claims = [claim.distribution for claim in _claims(kind, name)] if ":" not in name else []
    for first in (package, BUILTIN) if len(claims) > 1 else ():
        if any(same_package(claim, first) for claim in claims):
            return f"{first}:{name}"
    return name


def own_override(override: str, package: str) -> str:
    """An override that a package ships, such as ``strategy/search=adam`` of a control arm, with what it means by it."""
    key, equals, name = override.partition("=")
    kind = kind_of(key.lstrip("+~").partition("@")[0])
    return f"{key}{equals}{of_package(kind, name, package)}" if kind is not None else override


def _claims(kind: str, name: str) -> tuple[Plugin, ...]:
    return plugins(kind).get(name, ())


def names_object(name: str) -> bool:
    """Whether a name is ``module:object``, and not ``package:name`` of a package that brings plugins or configs."""
    package = name.partition(":")[0]
    return own.is_object(name) and not any(same_package(_package(entry.dist)[0], package) for entry in announced())


def claimed(what: str, name: str, packages: Sequence[str]) -> str:
    """The sentence for a name that several packages bring."""
    owners = " and ".join(repr(package) for package in packages)
    return f"{what} is claimed by {owners}: choose one as package:name, for example {packages[0]}:{name}."


@dataclass(frozen=True)
class ConfigPackage(Announced):
    """A folder of presets and experiments that a package ships.

    Args:
        entry_point: its value is the package that holds the YAML files, such as ``acme.conf``.
    """

    entry_point: EntryPoint

    @cached_property
    def directory(self) -> Path | None:
        """Where the files are, found without importing anything; None if that package is not there."""
        spec = find_module(self.entry_point.value.strip())
        places = list(spec.submodule_search_locations or ()) if spec is not None else []
        return Path(places[0]) if places and Path(places[0]).is_dir() else None


@cache
def config_packages() -> tuple[ConfigPackage, ...]:
    """What packages announce as configs, in the order of their names."""
    found = {(_package(entry.dist)[0], entry.value): entry for entry in announced() if entry.group == CONFIGS}
    return tuple(ConfigPackage(found[key]) for key in sorted(found))


def forget() -> None:
    """Read the metadata again when it is next asked for: packages were installed, or removed."""
    for remembered in (announced, plugins, config_packages):
        remembered.cache_clear()
