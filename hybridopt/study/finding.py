"""Studies by name, and what of them cannot be changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hybridopt.composition import building, registry
from hybridopt.core.study import Profile, Study
from hybridopt.errors import ConfigError, PluginError, options

KIND = "study"
UNCHANGING = ("trainer", "tracking", "hydra", "sweep", "threads", "instantiate_targets")  # of what a study computes


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


def refuse_changes(arguments: Sequence[str]) -> None:
    """Refuse overrides that would change what is computed: a study fixes it before it runs.

    Raises:
        ConfigError: there is one.
    """
    for argument in arguments:
        key = argument.lstrip("+~").partition("=")[0]
        if key.replace("/", ".").split(".")[0] not in UNCHANGING:
            raise ConfigError(
                f"A study fixes what it runs before it runs, so that {argument} cannot be changed here: leave it out, "
                "choose another profile=, or write a study of your own (hybridopt-plugins new <package> --kind study)."
            )
