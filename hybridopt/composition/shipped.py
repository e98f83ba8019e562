"""What packages ship names their own plugins: a third party that claims the name of another one's changes none of it.

Two packages may claim one name, and whoever types it is asked which one is meant. Nobody is there to be asked about the
default config, the presets of a package, or the plugins that a hybrid has unless told otherwise: there a name means the
plugin of the package that ships it, else hybridopt's own. A user's own files are typed, as the command line is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import hydra.conf
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ConfigDefault, GroupDefault, InputDefault
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, open_dict, read_write

from hybridopt import conf
from hybridopt.composition.config_source import EntryPointConfigSource, PackageConfigSource, owners
from hybridopt.composition.kinds import kind_of
from hybridopt.composition.registry import BUILTIN, of_package, same_package

OURS = f"pkg://{BUILTIN}.conf"
CALLBACKS = "trainer/callbacks"
INSTALLED = {OURS: conf, "pkg://hydra.conf": hydra.conf}  # sources that are read again only where a file has changed
_read: dict[tuple[str, str, int], ConfigResult | None] = {}  # of them, a third of the time of a composition


class ShippedRepository(ConfigRepository):
    """Loads configs as Hydra does; ambiguous names in what a package ships are made that package's own.

    Hydra copies a repository for each question that it has, to give the copy other sources. The sources themselves, in
    which all of Hydra's configs are, never change: a copy has the same. What was loaded from them is kept, since most
    jobs of a sweep are made of the same.
    """

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        super().initialize_sources(config_search_path)
        self._loaded: dict[str, ConfigResult | None] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> ShippedRepository:
        copied = copy.copy(self)
        copied.sources, copied._loaded = list(self.sources), self._loaded
        return copied

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: all but what was loaded."""
        return {**vars(self), "_loaded": {}}

    def load_config(self, config_path: str) -> ConfigResult | None:
        """A config by its group and name, such as ``experiment/regression``; None if there is none."""
        if config_path not in self._loaded:
            self._loaded[config_path] = self._load(config_path)
        return copy.deepcopy(self._loaded[config_path])  # Hydra writes into it

    def _load(self, config_path: str) -> ConfigResult | None:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is not None and source.full_path() in INSTALLED:
            place = (source.full_path(), config_path, _changed(source.full_path(), config_path))
            if place not in _read:
                _read[place] = super().load_config(config_path)
            found = copy.deepcopy(_read[place])
        else:
            found = super().load_config(config_path)
        package = _shipper(source, found) if found is not None and source is not None else None
        if found is None or package is None:
            return found
        group = config_path.rpartition("/")[0]
        for default in found.defaults_list or ():
            _qualify(default, group, package)
        if package != BUILTIN and isinstance(found.config, DictConfig):
            _name_own(found, group, package)
        return found


def _changed(source: str, config_path: str) -> int:
    """When a file of an installed source was last changed, in nanoseconds; 0 where there is no such file."""
    file = Path(INSTALLED[source].__path__[0], config_path).with_suffix(".yaml")
    return file.stat().st_mtime_ns if file.is_file() else 0


def _shipper(source: ConfigSource, found: ConfigResult) -> str | None:
    """The package that ships a config; None of a user's own, and of Hydra's."""
    if isinstance(source, EntryPointConfigSource | PackageConfigSource):
        return found.provider
    return BUILTIN if found.path == OURS else None


# -- lists of defaults ------------------------------------------------------------------------------------------------


def _qualify(default: InputDefault, group: str, package: str) -> None:
    """Have an entry of a list of defaults say whose plugin or preset it means."""
    if isinstance(default, GroupDefault):
        offered = _absolute(str(default.group), group)
        value = cast(Any, default.value)
        if isinstance(value, list):
            default.value = [_of(package, offered, one) for one in value]
        elif isinstance(value, str):
            default.value = _of(package, offered, value)
    elif isinstance(default, ConfigDefault) and default.path is not None:
        folder, slash, name = default.path.rpartition("/")
        default.path = f"{folder}{slash}{_of(package, _absolute(folder, group), name)}"


def _absolute(group: str, parent: str) -> str:
    """The group that an entry names from a config in another one."""
    return group.strip("/") if group.startswith("/") or not parent else f"{parent}/{group}".rstrip("/")


def _of(package: str, group: str, name: str) -> str:
    """What a package means by a name in a group."""
    kind = kind_of(group) if group else None
    meant = of_package(kind, name, package) if kind is not None else name
    others = owners(f"{group}/{name}") if meant == name and ":" not in name else []
    own = next((owner for owner in others if same_package(owner, package)), None)
    return meant if own is None or len(others) == 1 else f"{own}:{name}"


# -- values -----------------------------------------------------------------------------------------------------------


def _name_own(found: ConfigResult, group: str, package: str) -> None:
    """Have the values of a config say where a name in them is the package's own plugin."""
    place = found.header.get("package")
    start = group if place is None else "" if place == "_global_" else place.removeprefix("_global_.").replace(".", "/")
    config = cast(DictConfig, found.config)
    with read_write(config), open_dict(config):
        for path, node in _mappings(config, start):
            above, _, last = path.rpartition("/")
            kind, default = ("callback", last) if above == CALLBACKS else (kind_of(path), None)
            name = node._get_node("name")
            value = cast(Any, default if name is None else name)
            value = value if value is None or isinstance(value, str) else value._value()
            meant = of_package(kind, value, package) if kind is not None and isinstance(value, str) else value
            if meant != value and not str(meant).startswith(f"{BUILTIN}:"):  # hybridopt's own need not say so
                node["name"] = meant


def _mappings(node: Any, path: str) -> Iterator[tuple[str, DictConfig]]:
    """The mappings in a config, each with the group that its place has."""
    if not isinstance(node, DictConfig) or node._is_none() or node._is_missing() or node._is_interpolation():
        return
    yield path, node
    for key in list(node):
        yield from _mappings(node._get_node(key), f"{path}/{key}".lstrip("/"))
