"""A new package around one plugin: it installs, runs and passes its tests as it is written."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from string import Template

from hybridopt.composition import registry
from hybridopt.composition.kinds import KINDS
from hybridopt.errors import ConfigError

TEMPLATES = Path(__file__).parent / "templates"
PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")  # as the packaging standard has it
OFFERED = tuple(kind for kind in KINDS if (TEMPLATES / f"{kind}.txt").exists())


@dataclass(frozen=True)
class Names:
    """What things are called in a new package.

    Args:
        package: as pip knows it.
        kind: of the plugin.
        plugin: as users of hybridopt type it.
    """

    package: str
    kind: str
    plugin: str

    @property
    def module(self) -> str:
        """The package as Python imports it."""
        return re.sub(r"[-.]+", "_", self.package).lower()

    @property
    def attribute(self) -> str:
        """The class or function."""
        words = self.plugin.split("_")
        return "".join(word[:1].upper() + word[1:] for word in words) if KINDS[self.kind].is_class else self.plugin

    def fields(self) -> dict[str, str]:
        """What the templates are filled with."""
        return {
            "package": self.package,
            "kind": self.kind,
            "group": KINDS[self.kind].group,
            "name": self.plugin,
            "module": self.module,
            "file": self.plugin,
            "attribute": self.attribute,
            "version": version("hybridopt"),
            "try": KINDS[self.kind].example.format(name=self.plugin),
        }


def create(package: str, kind: str, name: str | None, into: Path) -> Path:
    """Write a package.

    Args:
        package: its name for pip.
        kind: what plugin it brings.
        name: the plugin's; None for the package's without "hybridopt-".
        into: the folder in which the package's own is made.

    Returns:
        The package's folder.

    Raises:
        ConfigError: a name cannot be, or something is there already.
    """
    names = checked(Names(package, kind, name or plugin_name(package)))
    root = into / package
    if root.exists():
        raise ConfigError(f"{root} is there already, and nothing is overwritten: choose another name or folder.")
    for path, text in files(names).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


def plugin_name(package: str) -> str:
    """The name of the plugin that goes with a package's."""
    return re.sub(r"[-.]+", "_", package.lower()).removeprefix("hybridopt_")


def checked(names: Names) -> Names:
    """The names, if packages and plugins can be called so."""
    if not PACKAGE.fullmatch(names.package) or not importable(names.module):
        raise ConfigError(
            f"A package cannot be called {names.package!r}: begin with a letter and use letters, digits and dashes, "
            "such as hybridopt-mine."
        )
    if registry.same_package(names.package, "hybridopt"):
        raise ConfigError("A package cannot be called 'hybridopt', which is the framework: try hybridopt-mine.")
    if not importable(names.plugin):
        raise ConfigError(
            f"A plugin cannot be called {names.plugin!r}: give it a name of letters, digits and underscores, such as "
            "--name mine."
        )
    for owner in registry.plugins(names.kind).get(names.plugin, ()):
        if not registry.same_package(owner.distribution, names.package):
            raise ConfigError(
                f"There is a {names.kind} {names.plugin!r} already, of the package {owner.distribution!r}: choose "
                "another name by --name."
            )
    return names


def importable(name: str) -> bool:
    """Whether a name can be a module's."""
    return name.isidentifier() and not keyword.iskeyword(name)


def files(names: Names) -> dict[str, str]:
    """Path -> text."""
    fields = names.fields()
    return {
        "pyproject.toml": filled("pyproject.toml", fields),
        "README.md": filled("README.md", fields),
        f"{names.module}/__init__.py": f'"""A {names.kind} for hybridopt."""\n',
        f"{names.module}/{names.plugin}.py": filled(names.kind, fields),
        f"tests/test_{names.module}.py": filled("test", fields),
    }


def filled(template: str, fields: dict[str, str]) -> str:
    """The text of a template."""
    return Template((TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")).substitute(fields)
