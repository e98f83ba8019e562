"""Hydra meets the plugins: the config sources ``entrypoints://`` and ``packages://``.

The first lists names from package metadata and derives a typed config from the signature of the one plugin that is
asked for. Groups are the kinds (``strategy``), and below them the settings of a plugin that are plugins again
(``strategy/search``): they offer the kind that the group is named after (``strategy/encoding``), else the kind of the
group they are in. A setting of another kind is in the group of that kind (``encoding@strategy.mask``).

The second has the presets and experiments that packages ship. Hydra's own ``pkg://`` would import each such package at
every start, so that a slow or broken one would harm all, and would take the first of two files of one name in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field, make_dataclass
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING, OmegaConf
from yaml import YAMLError

from hybridopt.composition import registry, renamed
from hybridopt.composition.describe import REQUIRED, Parameter
from hybridopt.composition.kinds import CONFIGURED, kind_of
from hybridopt.errors import HybridoptError


def config_of(plugin: registry.Plugin, name: str) -> Any:
    """A structured config from a plugin's signature: ``name`` as it was asked for, then its settings with types and
    defaults. What hybridopt brings is named without the package, so that a job is the same one whoever else claims it.

    Nested plugins come in by a defaults list, as Hydra users know it: ``strategy/search=openai_es``.
    """
    description = plugin.describe()
    defaults = [entry for one in description.nested if not one.many for entry in _nested_defaults(plugin.kind, one)]
    fields = [("defaults", list[Any], field(default_factory=lambda: ["_self_", *defaults]))] if defaults else []
    fields += [("name", str, field(default=plugin.name if plugin.is_builtin else name))]
    fields += [_field(parameter) for parameter in description.parameters]
    fields += [(old, Any, field(default=renamed.NOT_GIVEN)) for old in renamed.former_settings(plugin)]
    return make_dataclass(re.sub(r"\W", "_", f"{plugin.name}_{plugin.kind}"), fields)


def _nested_defaults(kind: str, parameter: Parameter) -> Iterator[Any]:
    group = parameter.name
    if kind_of(f"{kind}/{group}") != parameter.nested:
        group = f"/{parameter.nested}@{parameter.name}"  # its name does not tell what it is: strategy.mask, an encoding
    if parameter.preset is None and parameter.default is not REQUIRED:
        yield {f"optional {group}": None}
    else:
        yield {group: parameter.preset or MISSING}


def _field(parameter: Parameter) -> tuple[str, Any, Any]:
    default = parameter.default
    if parameter.nested is not None:
        default = {} if parameter.many else MISSING if default is REQUIRED else default
        kind = dict[str, Any] if parameter.many else Any
        return parameter.name, kind, field(default_factory=dict) if parameter.many else field(default=default)
    if default is REQUIRED:
        return parameter.name, parameter.type, field(default=MISSING)
    if isinstance(default, list | dict | tuple):
        plain = list(default) if isinstance(default, tuple) else default
        return parameter.name, parameter.type, field(default_factory=lambda: plain)
    return parameter.name, parameter.type, field(default=default)


class EntryPointConfigSource(ConfigSource):
    """Plugins as config groups; see the module's first lines."""

    @staticmethod
    def scheme() -> str:
        return "entrypoints"

    def available(self) -> bool:
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        group, _, name = config_path.removesuffix(".yaml").rpartition("/")
        try:
            kind = kind_of(group) or group
            name = renamed.current_name(kind, name, group.replace("/", "."))
            plugin = registry.find(kind, name)
            config = OmegaConf.structured(config_of(plugin, name))
        except HybridoptError as error:
            raise ConfigCompositionException(str(error)) from error
        header: dict[str, str | None] = {"package": None}
        return ConfigResult(provider=plugin.distribution, path="entrypoints://", config=config, header=header)

    def is_group(self, config_path: str) -> bool:
        return not config_path.strip("/") or kind_of(config_path) is not None

    def is_config(self, config_path: str) -> bool:
        group, _, name = config_path.removesuffix(".yaml").rpartition("/")
        kind = kind_of(group) if group else None
        if kind is None:
            return False
        known = name.rpartition(":")[2] in registry.plugins(kind) or registry.names_object(name)
        return known or renamed.is_former(kind, name)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if not config_path.strip("/"):
            return [] if results_filter == ObjectType.CONFIG else sorted(CONFIGURED)
        kind = kind_of(config_path)
        return [] if kind is None or results_filter == ObjectType.GROUP else registry.names(kind)


class PackageConfigSource(ConfigSource):
    """The presets and experiments that packages ship; see the module's first lines."""

    @staticmethod
    def scheme() -> str:
        return "packages"

    def available(self) -> bool:
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        path, claims = self._claims(config_path)
        group, _, name = path.rpartition("/")
        if len(claims) > 1:
            packages = [source.provider for source in claims]
            raise ConfigCompositionException(registry.claimed(f"The config {group}={name}", name, packages))
        try:
            return claims[0].load_config(path)
        except (OSError, ValueError, YAMLError) as error:
            reason = " ".join(str(error).split())
            raise ConfigCompositionException(
                f"The config {path} of the package {claims[0].provider!r} cannot be read "
                f"({type(error).__name__}: {reason}): repair or reinstall that package."
            ) from error

    def is_group(self, config_path: str) -> bool:
        return any(source.is_group(config_path) for source in folders())

    def is_config(self, config_path: str) -> bool:
        return bool(self._claims(config_path)[1])

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        owners: dict[str, list[str]] = {}
        for source in folders():
            if source.is_group(config_path):
                for name in source.list(config_path, results_filter):
                    owners.setdefault(name, []).append(source.provider)
        groups = {name for name in owners if self.is_group(f"{config_path}/{name}".lstrip("/"))}
        listed = [[name] if name in groups else registry.typed(name, packages) for name, packages in owners.items()]
        return sorted(name for names in listed for name in names)

    def _claims(self, config_path: str) -> tuple[str, list[FileConfigSource]]:
        """The path without a ``package:`` before the name, and the folders that have it."""
        group, slash, name = config_path.removesuffix(".yaml").rpartition("/")
        package, _, bare = name.rpartition(":")
        path = f"{group}{slash}{bare}"
        chosen = [source for source in folders() if not package or registry.same_package(source.provider, package)]
        found = [source for source in chosen if source.is_config(path)]
        return path, list({source.provider: source for source in reversed(found)}.values())[::-1]


def folders() -> list[FileConfigSource]:
    """The folders of configs that packages ship, each under the name of its package."""
    found = ((package.distribution, package.directory) for package in registry.config_packages())
    return [FileConfigSource(name, f"file://{directory}") for name, directory in found if directory is not None]


def owners(config_path: str) -> list[str]:
    """The packages that ship a config of this group and name."""
    return [source.provider for source in folders() if source.is_config(config_path)]


class PluginSearchPath(SearchPathPlugin):
    """Puts plugins and packages behind our own configs; ``hydra.searchpath`` would hide them from ``--help``."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append(provider="hybridopt", path="entrypoints://")
        search_path.append(provider="schema", path="packages://")  # --config-dir goes before the first of this name


def register() -> None:
    """Make ``entrypoints://`` and ``packages://`` known to Hydra; call it before composing."""
    for plugin in (EntryPointConfigSource, PackageConfigSource, PluginSearchPath):
        Plugins.instance().register(plugin)
