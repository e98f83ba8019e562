"""Studies by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridopt.composition import building, registry
from hybridopt.core.study import Profile, Study
from hybridopt.errors import ConfigError, PluginError, options

KIND = "study"


def find_study(name: str, settings: Mapping[str, Any] | None = None) -> Study:
    """A study.

    Args:
        name: a plugin's, or ``package:name``.
        settings: of its signature; those that are left out have their defaults.

    Raises:
        PluginError: there is none of that name, or it is none.
        ConfigError: it has no such setting, or refuses one.
    """
    made = building.build(KIND, {"name": name, **(settings or {})})
    if not isinstance(made, Study):
        raise PluginError(f"The study {name!r} makes nothing that derives from hybridopt.Study: mend its entry point.")
    return made


def settings_of(name: str) -> frozenset[str]:
    """The names of a study's settings."""
    return registry.meant(KIND, name).describe().names


def profile_of(name: str, study: Study, profile: str) -> Profile:
    """One of its profiles.

    Raises:
        ConfigError: there is none of that name.
    """
    if profile not in study.profiles:
        raise ConfigError(f"The study {name!r} has no profile {profile!r}.{options(study.profiles, profile)}")
    return study.profiles[profile]
