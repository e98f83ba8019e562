"""Names that have changed: configs and runs with the former ones work for some versions more, and are told so.

A package lists what it has renamed in a module of its own that imports nothing heavy, and announces the list by an
entry point of the group ``hybridopt.renamed``::

    from hybridopt.toolbox.deprecation import Renamed

    RENAMED = [
        Renamed("strategy", "natural_es", "snes", until="0.3"),
        Renamed("strategy", "sigma_init", "sigma", until="0.3", plugin="snes"),
    ]

What is called from Python is marked by ``typing_extensions.deprecated`` instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from hybridopt.errors import ConfigError

GROUP = "hybridopt.renamed"  # the entry points of such lists


@dataclass(frozen=True)
class Renamed:
    """A plugin, or a setting of one, that has another name than in earlier versions; or a setting that is gone.

    Args:
        kind: of the plugin: model, dataset, objective, encoding, strategy or trigger.
        old: the former name, as users type it.
        new: the name now; None of a setting that has no effect any more.
        until: the version of the package in which the former name is no longer known.
        plugin: whose setting it is, by the name that the plugin has now; None where the plugin itself is renamed.

    Raises:
        ConfigError: a plugin has no new name.
    """

    kind: str
    old: str
    new: str | None
    until: str
    plugin: str | None = None

    def __post_init__(self) -> None:
        if self.plugin is None and self.new is None:
            raise ConfigError(f"Renamed({self.kind!r}, {self.old!r}, None) names no other plugin: name one to take.")

    def sentence(self, package: str, place: str) -> str:
        """What users are told.

        Args:
            package: that has renamed it.
            place: where the former name was given, such as ``strategy.search``.
        """
        if self.plugin is None:
            told = f"The {self.kind} {self.old!r} is now called {self.new!r}: type {place.replace('.', '/')}={self.new}"
        elif self.new is None:
            told = f"{place}.{self.old} of {self.plugin} has no effect any more: leave it out"
        else:
            told = f"{place}.{self.old} of {self.plugin} is now called {self.new}: type {place}.{self.new}"
        return f"{told}, since {package} {self.until} will not know the former name."
