"""Third-party packages as pip leaves them on disk: metadata with entry points, and a module."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hybridopt import registry

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
    metadata = root / f"{distribution.replace('-', '_')}-{VERSION}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {VERSION}\n")
    lines = []
    for kind, names in plugins.items():
        lines += [
            f"[{registry.GROUPS[kind]}]",
            *(f"{name} = {module}:{attribute}" for name, attribute in names.items()),
        ]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    (root / f"{module}.py").write_text(source)
    return module


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
    registry.plugins.cache_clear()
