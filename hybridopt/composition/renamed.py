"""Configs with the names that plugins and settings had in earlier versions, as packages list them.

A config may come from the command line, from a preset, from Python or from a run that was begun before: wherever it is
read, former names become those of now, so that a run is the same one, and each is told once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from omegaconf import MISSING

from hybridopt.composition.building import nested
from hybridopt.composition.kinds import CONFIGURED, PARTS
from hybridopt.composition.registry import (
    Announced,
    Plugin,
    announced,
    claimed,
    meant,
    of_package,
    plugins,
    same_package,
)
from hybridopt.composition.targets import TARGET
from hybridopt.errors import ConfigError, HybridoptError, PluginError, brief
from hybridopt.toolbox.deprecation import GROUP, Renamed

NOT_GIVEN = "(not given)"  # under a former name, in a config that is being composed


class _Listed(Announced):
    """The list of a package."""

    def __init__(self, entry_point: Any):
        self.entry_point = entry_point


def renamed() -> Iterator[tuple[str, Renamed]]:
    """What installed packages have renamed: package, name. A list that cannot be read is told, and left out."""
    for entry in announced():
        if entry.group == GROUP:
            package = _Listed(entry).distribution
            yield from ((package, one) for one in _read(package, entry))


@cache
def _read(package: str, entry: Any) -> tuple[Renamed, ...]:
    try:
        found = tuple(entry.load())
        odd = next((one for one in found if not isinstance(one, Renamed) or one.kind not in CONFIGURED), None)
        if odd is not None:
            raise TypeError(f"{odd!r} is no Renamed of the kinds {', '.join(CONFIGURED)}")
    except (Exception, SystemExit) as error:  # of a package that is broken
        warnings.warn(
            f"What the package {package!r} has renamed cannot be read from {entry.value} ({brief(error)}): upgrade or "
            "repair it.",
            stacklevel=2,
        )
        return ()
    return found


# -- plugins ----------------------------------------------------------------------------------------------------------


def is_former(kind: str, name: str) -> bool:
    """Whether a name, or ``package:name``, is one that a plugin had before, and that none has now."""
    return bool(_renamed_plugin(kind, name))


def current_name(kind: str, name: str, place: str | None = None) -> str:
    """The name that a plugin has now; any other name as it is.

    Args:
        kind: of the plugin.
        name: as it was given, perhaps ``package:name``.
        place: where, for the sentence; the kind if None.

    Raises:
        PluginError: several packages have renamed a plugin of that name.
    """
    found = _renamed_plugin(kind, name)
    if not found:
        return name
    given, _, bare = name.rpartition(":")
    if len(found) > 1:
        raise PluginError(claimed(f"The {kind} {bare!r}", bare, sorted(found)))
    ((package, one),) = found.items()
    _tell(one.sentence(package, place or kind))
    return f"{given}:{one.new}" if given else of_package(kind, str(one.new), package)


def _renamed_plugin(kind: str, name: str) -> dict[str, Renamed]:
    """By whom a plugin of that name was renamed, and to what; nothing of a name that some plugin has now."""
    given, _, bare = name.rpartition(":")
    found = {
        package: one
        for package, one in renamed()
        if (one.kind, one.old, one.plugin) == (kind, bare, None) and (not given or same_package(given, package))
    }
    now = plugins(kind).get(bare, ()) if found else ()
    return {} if any(not given or same_package(given, one.distribution) for one in now) else found


# -- settings ---------------------------------------------------------------------------------------------------------


def former_settings(plugin: Plugin) -> dict[str, tuple[str, Renamed]]:
    """The settings of a plugin that have another name now, by the former one."""
    return {
        one.old: (package, one)
        for package, one in renamed()
        if (one.kind, one.plugin) == (plugin.kind, plugin.name) and same_package(package, plugin.distribution)
    }


def current(config: Mapping[str, Any]) -> dict[str, Any]:
    """A job's config, plain values, with the names of now; what has no former name in it stays as it is.

    Raises:
        ConfigError: a setting is given under both of its names.
    """
    parts = {kind: _current(kind, config[kind], kind) for kind in PARTS if kind in config} if any(renamed()) else {}
    return {**config, **parts}


def _current(kind: str, given: Any, place: str) -> Any:
    """The settings of a plugin, and of those that are nested in it."""
    if not isinstance(given, Mapping) or TARGET in given or not isinstance(given.get("name"), str):
        return given
    settings = dict(given)
    try:
        settings["name"] = current_name(kind, given["name"], place)
        plugin = meant(kind, settings["name"])
        _rename(plugin, settings, place)
        parts = list(nested(plugin, {name: value for name, value in settings.items() if isinstance(value, Mapping)}))
    except ConfigError:
        raise
    except HybridoptError:
        return settings  # whoever builds it will say so
    for parameter, key, item in parts:
        if parameter.name not in given:
            continue  # what the signature names, and nobody has given
        inner = _current(str(parameter.nested), item, ".".join(filter(None, (place, parameter.name, key))))
        settings[parameter.name] = inner if key is None else {**settings[parameter.name], key: inner}
    return settings


def _rename(plugin: Plugin, settings: dict[str, Any], place: str) -> None:
    """Give the settings of a plugin the names of now, in place."""
    defaults = {parameter.name: parameter.default for parameter in plugin.describe().parameters}
    for old, (package, one) in former_settings(plugin).items():
        value = settings.pop(old, NOT_GIVEN)
        if value == NOT_GIVEN:
            continue
        if one.new is not None:
            if one.new in settings and settings[one.new] not in (defaults.get(one.new), value, MISSING):
                raise ConfigError(
                    f"{place}.{old} of {plugin.name} is now called {one.new}, and both are given: leave out "
                    f"{place}.{old}."
                )
            settings[one.new] = value
        _tell(one.sentence(package, place))


@cache
def _tell(sentence: str) -> None:
    """Warn once in a process, whatever becomes of its filters of warnings meanwhile."""
    warnings.warn(sentence, FutureWarning, stacklevel=2)
