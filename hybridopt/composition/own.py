"""Classes and functions of one's own in place of plugins: ``model=my_nets:ResNet``, where the user allows it.

A plugin is announced by a package that somebody has installed. An object is named by the command line alone, so that
composing a config with one may import any module: only ``instantiate_targets=true`` allows that, as it does a
``_target_``. The working directory then is where modules are looked for, too.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from hybridopt.composition import targets
from hybridopt.composition.describe import REQUIRED, Description
from hybridopt.composition.kinds import GROUPS
from hybridopt.composition.source import find_module
from hybridopt.errors import PluginError, options

OWN = "(your own)"  # in place of the package that brings a plugin


def is_object(name: str) -> bool:
    """Whether a name may be ``module:object``."""
    module, colon, attribute = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), attribute])


def entry_point(kind: str, name: str) -> EntryPoint:
    """The object as if a package had announced it.

    Args:
        kind: of plugin, in whose place it stands.
        name: ``module:object``.

    Raises:
        PluginError: the user has not allowed it, or there is no such module.
    """
    module = name.partition(":")[0]
    if not targets.permitted():
        raise PluginError(
            f"There is no {kind} called {name!r} among the plugins; for an object in a module of your own, type "
            f"{targets.SETTING}=true on the command line ({targets.SETTING}=True from Python), by which you trust that "
            "module to run any code."
        )
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)  # behind all that is installed
    if find_module(module) is None:
        raise PluginError(
            f"There is no module {module} for {kind}={name}, neither in {here} nor among what is installed: type "
            f"{kind}=<module>:<object> in the directory of the file <module>.py."
        )
    return EntryPoint(name, name, GROUPS[kind])


def source(name: str) -> Path | None:
    """The file of the module; None where it has none that can be read."""
    found = find_module(name.partition(":")[0])
    return Path(found.origin) if found is not None and found.origin and Path(found.origin).is_file() else None


def load(kind: str, name: str) -> Any:
    """Import the object.

    Raises:
        PluginError: the import failed, or the module does not have it.
        ConfigError: Hydra forbids it as a ``_target_``.
    """
    module, _, attribute = name.partition(":")
    try:
        imported = import_module(module)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"The module {module} of {kind}={name} failed to import ({type(error).__name__}: {error}): repair it."
        ) from error
    found = getattr(imported, attribute, None)
    if found is not None and (not callable(found) or hasattr(type(found), "forward")):  # a network answers to a call
        raise PluginError(
            f"{name} is an object of the class {type(found).__name__} already, and each run makes its own: name its "
            "class, or a function that returns one."
        )
    if found is None:
        here = [key for key, value in vars(imported).items() if getattr(value, "__module__", None) == module]
        raise PluginError(f"The module {module} has no class or function {attribute}.{options(here, attribute)}")
    return targets.instantiate({targets.TARGET: f"{module}.{attribute}", "_partial_": True}).func


def settable(description: Description) -> Description:
    """Without the arguments that no config can hold, such as a class, which keep the defaults of their signature."""
    kept = tuple(one for one in description.parameters if one.default is REQUIRED or _is_plain(one.default))
    return replace(description, parameters=kept)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str)
