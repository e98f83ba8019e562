"""What is asked of the control arms that a strategy declares."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from hybridopt.composition import registry
from hybridopt.composition.describe import REQUIRED
from hybridopt.composition.registry import Plugin
from hybridopt.core.strategy import Strategy
from hybridopt.testing.general import parse
from hybridopt.testing.kit import check, during, fail_if
from hybridopt.testing.plugins import Settings, defaults

WHOLE = "strategy="  # begins the override that puts another strategy in the place of this one


@check("strategy")
def control_arms_are_of_its_settings(plugin: Plugin) -> None:
    """Control arms have overrides in Hydra's grammar: of settings that it has, or of one strategy in its place."""
    strategy = plugin.load()
    if not (inspect.isclass(strategy) and issubclass(strategy, Strategy)):
        return  # what a function makes declares none
    settings = _complete(plugin)
    with during("asked for its control arms"):
        arms = strategy.controls(settings)
    fail_if(not isinstance(arms, Mapping), "its control arms are no mapping of names to overrides.")
    for name, overrides in arms.items():
        listed = isinstance(overrides, Sequence) and not isinstance(overrides, str) and len(overrides) > 0
        fail_if(not listed, f"its control arm {name!r} is no list of overrides.")
        whole = next((each for each in overrides if each.startswith(WHOLE)), None)
        for override in overrides:
            fail_if(not _sets(override), f"its control arm {name!r} has {override!r}, which is not Hydra's grammar.")
            fault = whole is None and not _own(override, settings)
            fail_if(fault, f"its control arm {name!r} has {override!r}, which is no setting of it.")
        fault = whole is not None and not _there(whole.removeprefix(WHOLE), settings)
        fail_if(fault, f"its control arm {name!r} has {whole!r}, which is neither a part of it nor installed.")


def _complete(plugin: Plugin) -> Settings:
    """All its settings, as a job's config has them."""
    plain = {each.name: each.default for each in plugin.describe().parameters if each.default is not REQUIRED}
    return plain | defaults(plugin)


def _sets(override: str) -> bool:
    """Whether an override sets one value, by Hydra's grammar."""
    parsed = parse(override)
    return parsed is not None and not parsed.is_sweep_override()


def _own(override: str, settings: Settings) -> bool:
    """Whether an override is of the settings, or of a plugin among them."""
    part, *path = override.lstrip("+~").partition("=")[0].replace("/", ".").replace("@", ".").split(".")
    return part != "strategy" or (len(path) > 0 and path[0] in settings)


def _there(value: str, settings: Settings) -> bool:
    """Whether a strategy is installed, or ``@path`` is a part of the settings."""
    if not value.startswith("@"):
        return value in registry.plugins("strategy")
    found: Any = settings
    for key in value.removeprefix("@").split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found is not None
