"""Hydra meets the plugins: the config source ``entrypoints://``.

It lists names from package metadata and derives a typed config from the signature of the one plugin that is asked for.
Groups are the kinds (``strategy``), and below them the settings of a plugin that are plugins again
(``strategy/search``): they offer the kind that the group is named after (``strategy/encoding``), else the kind of the
group they are in. A setting of another kind is in the group of that kind (``encoding@strategy.mask``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, make_dataclass
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING, OmegaConf

from hybridopt import registry
from hybridopt.describe import REQUIRED, Parameter
from hybridopt.errors import HybridoptError

CONFIGURED = ("model", "dataset", "objective", "encoding", "strategy")


def kind_of(group: str) -> str | None:
    """The kind of plugin that a config group offers, or None."""
    parts = group.strip("/").split("/")
    if parts[0] not in CONFIGURED:
        return None
    return parts[-1] if parts[-1] in CONFIGURED else parts[0]


def config_of(plugin: registry.Plugin, name: str) -> Any:
    """A structured config from a plugin's signature: ``name`` as it was asked for, then its settings with types and
    defaults.

    Nested plugins come in by a defaults list, as Hydra users know it: ``strategy/search=openai_es``.
    """
    parameters = plugin.describe().parameters
    defaults = [entry for parameter in parameters for entry in _nested_defaults(plugin.kind, parameter)]
    fields = [("defaults", list[Any], field(default_factory=lambda: ["_self_", *defaults]))] if defaults else []
    fields += [("name", str, field(default=name))]
    fields += [_field(parameter) for parameter in parameters]
    return make_dataclass(f"{plugin.name}_{plugin.kind}", fields)


def _nested_defaults(kind: str, parameter: Parameter) -> Iterator[Any]:
    if parameter.nested is None or parameter.many:
        return
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
            plugin = registry.find(kind_of(group) or group, name)
            config = OmegaConf.structured(config_of(plugin, name))
        except HybridoptError as error:
            raise ConfigCompositionException(str(error)) from error
        header = {"package": None}
        return ConfigResult(provider=plugin.distribution, path="entrypoints://", config=config, header=header)

    def is_group(self, config_path: str) -> bool:
        return not config_path.strip("/") or kind_of(config_path) is not None

    def is_config(self, config_path: str) -> bool:
        group, _, name = config_path.removesuffix(".yaml").rpartition("/")
        kind = kind_of(group) if group else None
        return kind is not None and name.rpartition(":")[2] in registry.plugins(kind)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if not config_path.strip("/"):
            return [] if results_filter == ObjectType.CONFIG else sorted(CONFIGURED)
        kind = kind_of(config_path)
        return [] if kind is None or results_filter == ObjectType.GROUP else registry.names(kind)


class EntryPointSearchPath(SearchPathPlugin):
    """Puts the plugins behind the user's own configs; ``hydra.searchpath`` would hide them from ``--help``."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append(provider="hybridopt", path="entrypoints://")


def register() -> None:
    """Make ``entrypoints://`` known to Hydra; call it before composing."""
    for plugin in (EntryPointConfigSource, EntryPointSearchPath):
        Plugins.instance().register(plugin)
