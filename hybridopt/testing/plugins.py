"""What is checked: plugins that are installed, or a class or function as it stands; and the settings to try."""

from __future__ import annotations

import atexit
import inspect
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, cast

from hybridopt.composition import kinds, registry
from hybridopt.composition.describe import REQUIRED, Description, Parameter, from_object
from hybridopt.composition.registry import Plugin
from hybridopt.composition.source import find_module
from hybridopt.errors import PluginError, options

CHECKS = {kind.name: f"{__package__}.{kind.plural}" for kind in kinds.TABLE}  # the module with the checks of a kind
KINDS = tuple(kind for kind in CHECKS if find_module(CHECKS[kind]))  # callbacks have none: they are Lightning's
USUAL = {  # for a nested plugin that has neither a default nor a preset
    "model": {"name": "hybridopt:mlp", "hidden": [4]},
    "dataset": {"name": "hybridopt:iris", "batch_size": 16},
    "objective": {"name": "hybridopt:cross_entropy"},
    "encoding": {"name": "hybridopt:direct"},
    "strategy": {"name": "hybridopt:openai_es"},
    "trigger": {"name": "hybridopt:steps"},
}
SECOND = {"strategy": {"name": "hybridopt:adam"}}  # where several are nested

Settings = dict[str, Any]


# -- plugins ----------------------------------------------------------------------------------------------------------


def installed(kind: str | None = None, package: str | None = None) -> list[Plugin]:
    """What is installed, from entry points; nothing is imported.

    Args:
        kind: a kind that has checks, such as "strategy"; all of them if None.
        package: the name of a distribution, however it is spelt; all of them if None.

    Raises:
        PluginError: there is no such kind, or no such plugin: tests over nothing would pass unseen.
    """
    if kind is not None and kind not in KINDS:
        raise PluginError(f"There is no kind of plugin called {kind!r}.{options(KINDS, kind)}")
    everything = [plugin for one in KINDS for claims in registry.plugins(one).values() for plugin in claims]
    found = [plugin for plugin in everything if kind in (None, plugin.kind)]
    if package is not None:
        found = [plugin for plugin in found if registry.same_package(plugin.distribution, package)]
    if not found:
        packages = {plugin.distribution for plugin in everything}
        of = "" if package is None else f" of a package {package!r}"
        raise PluginError(
            f"No {kind or 'plugin'}{of} is installed: install the package that brings it, for example by "
            f"pip install -e . in its folder.{options(packages, package)}"
        )
    return found


@dataclass(frozen=True)
class Unregistered(Plugin):
    """A class or function that no entry point names.

    Args:
        target: the class or function.
    """

    target: Any = None

    def load(self) -> Any:
        return self.target

    def describe(self) -> Description:
        return from_object(self.target)


def as_plugin(target: Any, kind: str | None = None) -> Plugin:
    """A class or function as a plugin; a plugin is returned as it is.

    Args:
        target: a class, or a function whose return annotation tells what it makes.
        kind: what it is, where that does not tell.

    Raises:
        PluginError: it does not say what kind of plugin it is.
    """
    if isinstance(target, Plugin):
        return target
    name = getattr(target, "__name__", None)
    kind = kind or (kind_of(target) if name else None)
    if kind not in KINDS:
        raise PluginError(
            f"{name or target!r} does not tell what kind of plugin it is: give a class that derives from "
            f"{' or '.join(kinds.KINDS[one].public for one in KINDS)}, a function whose return annotation is such a "
            "class, or as_plugin(it, kind)."
        )
    name = cast(str, name)  # what has a kind has a name
    entry_point = EntryPoint(name, f"{target.__module__}:{target.__qualname__}", kinds.GROUPS[kind])
    return Unregistered(kind, name, entry_point, target)


def kind_of(target: Any) -> str | None:
    """What a class is, or what a function makes, or None."""
    made = target
    if not inspect.isclass(target):
        try:
            made = typing.get_type_hints(target).get("return")
        except (NameError, TypeError):
            return None
    kind = kinds.of_class(made)
    return kind.name if kind is not None else None


# -- what a plugin says of itself -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Conformance:
    """A plugin's attribute ``conformance``; the package's docstring says what the keys mean."""

    settings: list[Settings] = field(default_factory=list)
    problem: Mapping[str, Settings] = field(default_factory=dict)
    expected_failures: Mapping[str, str] = field(default_factory=dict)


def conformance(plugin: Plugin) -> Conformance:
    """What a plugin says of itself.

    Raises:
        PluginError: it cannot be imported, or says it in words that the kit does not know.
    """
    said = getattr(plugin.load(), "conformance", {})
    known = Conformance.__dataclass_fields__
    unknown = sorted(said.keys() - known) or sorted(said.get("problem", {}).keys() - {"dataset", "model", "objective"})
    if unknown:
        raise PluginError(
            f"The {plugin.kind} {plugin.name!r} has conformance[{unknown[0]!r}], which the kit does not know: it takes "
            "'settings', 'expected_failures', and 'problem' with a 'dataset', a 'model' and an 'objective'."
        )
    settings = said.get("settings", [])
    if callable(settings):
        settings = examples(plugin.kind, plugin.name, settings)
    return Conformance(list(settings), said.get("problem", {}), said.get("expected_failures", {}))


@cache
def examples(kind: str, name: str, make: Any) -> list[Settings]:
    """Settings that name files, which are written once into a folder of their own, and gone at the end."""
    folder = Path(mkdtemp(prefix=f"{kind}_{name}_", dir=_folder().name))
    return make(folder)


@cache
def _folder() -> TemporaryDirectory:
    folder = TemporaryDirectory(prefix="hybridopt_conformance_")
    atexit.register(folder.cleanup)
    return folder


# -- settings to try --------------------------------------------------------------------------------------------------


def defaults(plugin: Plugin) -> Settings:
    """What a plugin needs to be built by its defaults: settings without one, and nested plugins.

    An example that shows one of these is taken as a whole, since the others may need its company.

    Raises:
        PluginError: a setting has no default, and the plugin shows no example.
    """
    needed = [parameter for parameter in plugin.describe().parameters if parameter.default is REQUIRED]
    examples = conformance(plugin).settings
    example = examples[0] if examples else {}
    shown = example if any(parameter.name in example for parameter in needed) else {}
    return shown | {p.name: usual(plugin, p) for p in needed if p.name not in shown}


def usual(plugin: Plugin, parameter: Parameter) -> Any:
    """What is taken for a setting without a default."""
    if parameter.nested is None or not (parameter.preset or parameter.nested in USUAL):
        raise PluginError(
            f"The {plugin.kind} {plugin.name!r} has no default for {parameter.name!r}, so that the kit cannot build "
            f"it: give it one, or show an example by conformance = {{'settings': [{{'{parameter.name}': ...}}]}}."
        )
    kind, one = parameter.nested, USUAL.get(parameter.nested, {})
    if isinstance(parameter.preset, str):
        one = {"name": registry.of_package(kind, parameter.preset, plugin.distribution)}
    if parameter.many:
        return {"first": filled(kind, one), "second": filled(kind, SECOND.get(kind, one))}
    return filled(kind, one)


def filled(kind: str, config: Settings) -> Settings:
    """A nested plugin's config with what it needs itself."""
    return defaults(registry.meant(kind, config["name"])) | config


def variants(plugin: Plugin) -> dict[str, Settings]:
    """Settings to build a plugin with, under words that say what is special about them.

    The defaults; each other choice of a ``Literal``; each switch the other way; and the plugin's own examples. A choice
    that an example shows may need that company, and is not tried alone.
    """
    base, shown = defaults(plugin), conformance(plugin).settings
    found = {"its defaults": base}
    for parameter in plugin.describe().parameters:
        for value in alternatives(parameter):
            if not any(parameter.name in example and example[parameter.name] == value for example in shown):
                found[f"{parameter.name}={value}"] = base | {parameter.name: value}
    found |= {", ".join(f"{key}={value}" for key, value in example.items()): base | example for example in shown}
    return found


def alternatives(parameter: Parameter) -> Iterable[Any]:
    """The values of a setting other than its default, where there are few."""
    if parameter.choices:
        return [choice for choice in parameter.choices if choice != parameter.default]
    return [not parameter.default] if parameter.type is bool and parameter.default is not REQUIRED else []
