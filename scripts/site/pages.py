"""Hooks of the site: pages that lie outside of docs/ join it, and links between all of them are those of the site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
OUTSIDE = {"index.md": "README.md", **{name: name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")}}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
HOMES = ("hybridopt", "hybridopt.testing")  # whose public names the reference has


def plugin_pages() -> dict[str, str]:
    """The page of each package in plugins/, by its place in the site."""
    packages = [path.parent.name for path in sorted(ROOT.glob("plugins/*/README.md"))]
    return {f"plugins/{name}.md": f"plugins/{name}/README.md" for name in packages}


def sources() -> dict[str, str]:
    """Pages from outside of docs/: place in the site -> place in the repository."""
    return OUTSIDE | plugin_pages()


def on_files(files: Files, config: Any) -> Files:
    """Add what lies outside of docs/, and the reference."""
    for place, source in sources().items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, "api.md", content=api()))
    return files


def api() -> str:
    """The reference: every public name, by its docstring."""
    from importlib import import_module

    parts = ["# API", "All that the author of a plugin or of a script needs."]
    for home in HOMES:
        module = import_module(home)
        parts += [f"::: {getattr(module, '_HOME', {}).get(name, home)}.{name}" for name in sorted(module.__all__)]
    return "\n\n".join(parts)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as they are in the repository become links of the site; of what is no page, the words stay."""
    place = page.file.src_uri
    source = sources().get(place, f"docs/{place}")
    known = {path: site for site, path in sources().items()}

    def linked(match: re.Match[str]) -> str:
        picture, words, target = match.groups()
        path, hash_, anchor = target.partition("#")
        if not path or ":" in path:
            return match[0]
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        site = known.get(wanted) or wanted.removeprefix("docs/")
        if files.get_file_from_path(site) is None:
            return words
        relative = posixpath.relpath(site, posixpath.dirname(place) or ".")
        return f"{picture}[{words}]({relative}{hash_}{anchor})"

    return LINK.sub(linked, markdown)
