"""Studies by name."""

from __future__ import annotations

from hybridopt.composition import registry
from hybridopt.core.study import Profile, Study
from hybridopt.errors import ConfigError, PluginError, options

KIND = "study"


def find_study(name: str) -> Study:
    """A study.

    Args:
        name: a plugin's, or ``package:name``.

    Raises:
        PluginError: there is none of that name, or it is none.
    """
    made = registry.meant(KIND, name).load()
    if not (isinstance(made, type) and issubclass(made, Study)):
        raise PluginError(f"The study {name!r} is no class that derives from hybridopt.Study: mend its entry point.")
    return made()


def profile_of(name: str, study: Study, profile: str) -> Profile:
    """One of its profiles.

    Raises:
        ConfigError: there is none of that name.
    """
    if profile not in study.profiles:
        raise ConfigError(f"The study {name!r} has no profile {profile!r}.{options(study.profiles, profile)}")
    return study.profiles[profile]
