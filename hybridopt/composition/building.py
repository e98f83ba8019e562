"""From a config to objects: the tree of plugins that a config names, what each is, and how it is built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from hybridopt.composition.describe import REQUIRED, Parameter
from hybridopt.composition.registry import Plugin, meant, of_package
from hybridopt.composition.targets import TARGET, nodes
from hybridopt.composition.values import check_numbers, check_value
from hybridopt.errors import ConfigError, HybridoptError, oneline, options

PART = re.compile(r"[\w-]{1,100}")  # the name of a plugin among several

# -- the tree ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A plugin in a config.

    Args:
        path: dotted, such as ``strategy.phases.first``.
        kind: of the plugin.
        plugin: None where the config has a ``_target_`` in its place.
        settings: its part of the config.
    """

    path: str
    kind: str
    plugin: Plugin | None
    settings: Mapping[str, Any]


def walk(kind: str, config: Any, path: str | None = None) -> Iterator[Node]:
    """The plugin of a config and all that are nested in it, each before its own; what is built already is left out.

    Args:
        kind: of the plugin.
        config: its settings.
        path: where they are in the job's config; the kind's name if None.

    Raises:
        ConfigError: a config names no plugin.
        PluginError: a plugin cannot be found, or must be imported to be described and fails.
    """
    path = path or kind
    if not isinstance(config, Mapping):
        return
    if TARGET in config:
        yield Node(path, kind, None, config)
        return
    if not isinstance(config.get("name"), str):
        raise ConfigError(f"{path} must name a {kind}, as {path.replace('.', '/')}=<name> does, but is {dict(config)}.")
    plugin = meant(kind, config["name"])
    yield Node(path, kind, plugin, config)
    for parameter, key, item in nested(plugin, config):
        inner = ".".join(filter(None, (path, parameter.name, key)))
        yield from walk(cast(str, parameter.nested), item, inner)


def nested(plugin: Plugin, settings: Mapping[str, Any]) -> Iterator[tuple[Parameter, str | None, Any]]:
    """The configs of plugins among a plugin's settings: parameter, key where it takes several by name, config."""
    for parameter in plugin.describe().nested:
        value = settings.get(parameter.name) or usual_parts(plugin, parameter)
        if value is None:
            continue
        for key, item in value.items() if parameter.many else [(None, value)]:
            yield parameter, key, item


def usual_parts(plugin: Plugin, parameter: Parameter) -> Mapping[str, Any] | None:
    """The configs that an empty mapping of plugins stands for, or none, where the signature names some.

    Their names are meant as the package of the plugin means them.
    """
    if not (parameter.many and isinstance(parameter.preset, Mapping)):
        return None
    kind, package = cast(str, parameter.nested), plugin.distribution
    return {key: {**part, "name": of_package(kind, part["name"], package)} for key, part in parameter.preset.items()}


def name_of(config: Mapping[str, Any]) -> str:
    """The name of a plugin in a config: of an entry point, or of the ``_target_`` that stands in its place."""
    return config["name"] if "name" in config else config[TARGET]


def asks_for(kind: str, config: Mapping[str, Any], name: str) -> bool:
    """Whether a plugin takes what the framework hands over by this name, such as "spec"."""
    return "name" in config and name in meant(kind, config["name"]).describe().names


def provenances(kind: str, config: Mapping[str, Any]) -> dict[str, str]:
    """Where a plugin and all that are nested in it come from: dotted path -> provenance."""
    return {
        node.path: node.plugin.provenance if node.plugin is not None else node.settings[TARGET]
        for node in walk(kind, config)
    }


# -- building ---------------------------------------------------------------------------------------------------------


def build(kind: str, config: Any, place: str | None = None, **supplied: Any) -> Any:
    """Build a plugin from its config.

    Args:
        kind: a name in :data:`hybridopt.composition.kinds.KINDS`.
        config: plain values; ``name`` is the plugin, the rest are its arguments; nested plugins are nested configs.
            What is an object already stays as it is.
        place: the path of that config, for messages; the kind if None.
        supplied: what the framework hands over (``spec``, …); only what the plugin's signature names is passed.

    Raises:
        PluginError: the plugin cannot be found or imported.
        ConfigError: it refuses its arguments.
    """
    if not isinstance(config, Mapping):
        return config
    return make(meant(kind, config["name"]), config, place, **supplied)


def make(plugin: Plugin, config: Mapping[str, Any], place: str | None = None, **supplied: Any) -> Any:
    """Build this plugin, wherever it was found; as :func:`build`, but for ``name``, which is ignored here."""
    description, place = plugin.describe(), place or plugin.kind
    arguments = {key: value for key, value in config.items() if key != "name"}
    check_settings(place, plugin, arguments)
    arguments |= _parts(plugin, arguments, place, supplied)
    arguments |= {key: value for key, value in supplied.items() if key in description.names}
    factory = plugin.load()
    try:
        return factory(**arguments)
    except ConfigError as error:
        raise placed(error, plugin.kind, place) from error
    except HybridoptError:
        raise
    except (TypeError, ValueError, ArithmeticError, MemoryError, RuntimeError) as error:
        raise ConfigError(
            f"{place.replace('.', '/')}={plugin.name} cannot be built from its settings: {oneline(error)}."
        ) from error


def placed(error: ConfigError, kind: str, place: str) -> ConfigError:
    """The same error about a nested plugin, which knows its settings by its kind and not by its place in the config."""
    return type(error)(re.sub(rf"\b{kind}\.(?=\w)", f"{place}.", str(error)))


def check_settings(place: str, plugin: Plugin, settings: Mapping[str, Any]) -> None:
    """Refuse what a plugin does not have, and what is not of its type, no finite number, or none of the choices.

    Args:
        place: of the settings in the config.
        plugin: whose signature says what they must be.
        settings: plain values; those of nested plugins are left to them.

    Raises:
        ConfigError: a sentence.
    """
    description = plugin.describe()
    for name in settings.keys() - description.names - {"name"} if not description.open else ():
        if not any(nodes(settings[name])):  # what would be called has its own sentence
            known = [parameter.name for parameter in description.parameters]
            raise ConfigError(f"There is no setting {place}.{name} of {plugin.name}.{options(known, name)}")
    for parameter in description.parameters:
        value = settings.get(parameter.name)
        if parameter.nested:
            _check_is_plugin(place, parameter, settings)
        if parameter.name not in settings or parameter.nested or (isinstance(value, Mapping) and TARGET in value):
            continue
        check_numbers(f"{place}.{parameter.name}", value)
        _check_choice(place, parameter, settings)
        if not parameter.choices:
            check_value(f"{place}.{parameter.name}", parameter.type, value)
        if parameter.items is not None and isinstance(value, list | tuple) and len(value) != parameter.items:
            raise ConfigError(f"{place}.{parameter.name} must have {parameter.items} values, but is {value}.")


def _check_is_plugin(place: str, parameter: Parameter, settings: Mapping[str, Any]) -> None:
    """Refuse a plain value where a plugin is asked for, and null where there must be one."""
    value = settings.get(parameter.name, {})
    items = list(value.values()) if parameter.many and isinstance(value, Mapping) else [value]
    odd = next((key for key in value if not PART.fullmatch(str(key))), None) if isinstance(value, Mapping) else None
    if parameter.many and odd is not None:
        raise ConfigError(
            f"{place}.{parameter.name} has a part called {odd!r}, which also names its metrics: use letters, digits, "
            "'_' and '-'."
        )
    missing = value is None and parameter.default is REQUIRED
    if missing or any(isinstance(item, int | float | str | list) for item in items):
        raise ConfigError(
            f"{place}.{parameter.name} takes plugins of the kind {parameter.nested}, and is {value!r}: choose one by "
            f"its name, {place.replace('.', '/')}/{parameter.name}=<name>."
        )


def _check_choice(place: str, parameter: Parameter, arguments: Mapping[str, Any]) -> None:
    value = arguments.get(parameter.name)
    if parameter.choices and parameter.name in arguments and value not in parameter.choices:
        raise ConfigError(
            f"{place}.{parameter.name} must be one of {', '.join(map(str, parameter.choices))}, but is {value!r}."
        )


def _parts(plugin: Plugin, arguments: Mapping[str, Any], place: str, supplied: Mapping[str, Any]) -> dict[str, Any]:
    """The nested plugins, built in the order of the signature; mappings of them are copied, empty ones too."""
    parameters = plugin.describe().nested
    given = [one for one in parameters if arguments.get(one.name) is not None or usual_parts(plugin, one)]
    made: dict[str, Any] = {one.name: {} for one in given if one.many}
    for parameter, key, item in nested(plugin, arguments):
        where = f"{place}.{parameter.name}" + ("" if key is None else f".{key}")
        part = build(cast(str, parameter.nested), item, where, **supplied)
        if key is None:
            made[parameter.name] = part
        else:
            made[parameter.name][key] = part
    return made
