"""What to do about a package that does not fit its metadata."""

from __future__ import annotations

import json
from importlib.metadata import Distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit


def reinstall(package: Distribution | None) -> str:
    """What to do about a package that does not fit its metadata."""
    project = editable_project(package) if package is not None else None
    if project is not None and project.exists():
        return f"type pip install --editable {project}"
    name = package_of(package)
    return f"type pip install --upgrade --force-reinstall --no-deps {name}, or pip uninstall {name}"


def package_of(package: Distribution | None) -> str:
    """The name of a package."""
    return package.name if package is not None else "unknown"


def editable_project(package: Distribution) -> Path | None:
    """The folder of an editable install, or None."""
    try:
        origin = json.loads(package.read_text("direct_url.json") or "{}")
        editable = origin.get("dir_info", {}).get("editable", False)
        return Path(unquote(urlsplit(origin["url"]).path)) if editable else None
    except (ValueError, KeyError, AttributeError):
        return None
