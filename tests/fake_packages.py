"""Third-party packages as pip leaves them on disk: metadata with entry points, and a module."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hybridopt.composition import registry

VERSION = "1.2.3"
_numbers = itertools.count()


def install(root: Path, distribution: str, source: str, **plugins: Mapping[str, str]) -> str:
    """Install a package with one module into a folder that is, or will be, on the path.

    Args:
        root: the folder.
        distribution: the package's name; one root may hold several.
        source: the text of its module.
        plugins: kind -> {name of the plugin: object in the module}.

    Returns:
        The name of the module, another one at each call.
    """
    module = f"{distribution.replace('-', '_')}_{next(_numbers)}"
    groups = {
        registry.GROUPS[kind]: {name: f"{module}:{attribute}" for name, attribute in names.items()}
        for kind, names in plugins.items()
    }
    announce(root, distribution, groups)
    (root / f"{module}.py").write_text(source)
    return module


def install_configs(root: Path, distribution: str, files: Mapping[str, str], source: str = "") -> str:
    """Install a package that ships configs.

    Args:
        root: the folder.
        distribution: the package's name.
        files: path below the folder of configs -> text.
        source: the text of the package's ``__init__``.

    Returns:
        The name of the package that is imported, another one at each call.
    """
    package = f"{distribution.replace('-', '_')}_{next(_numbers)}"
    announce(root, distribution, {registry.CONFIGS: {distribution: f"{package}.conf"}})
    for path, text in {
        "__init__.py": source,
        "conf/__init__.py": "",
        **{f"conf/{k}": v for k, v in files.items()},
    }.items():
        (root / package / path).parent.mkdir(parents=True, exist_ok=True)
        (root / package / path).write_text(text)
    return package


def announce(
    root: Path, distribution: str, groups: Mapping[str, Mapping[str, str]], version: str = VERSION, extra: str = ""
) -> Path:
    """The metadata of a package: group -> {name: value}; ``extra`` are further lines, such as what it requires."""
    metadata = root / f"{distribution.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    header = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n{extra}"
    (metadata / "METADATA").write_text(header)
    lines = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return metadata


@contextmanager
def on_path(*roots: Path) -> Iterator[None]:
    """The packages in these folders are installed in this process, and gone afterwards."""
    before = set(sys.modules)
    sys.path[:0] = map(str, roots)
    _forget()
    try:
        yield
    finally:
        del sys.path[: len(roots)]
        for name in set(sys.modules) - before:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").parent in roots:
                del sys.modules[name]
        _forget()


def _forget() -> None:
    importlib.invalidate_caches()
    registry.forget()
