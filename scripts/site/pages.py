"""Hooks of the site: what is no Markdown in docs/ becomes a page too, and links between all are those of the site.

Pages from outside of docs/ join it, notebooks are shown with their outputs, and docstrings are the reference, of which
docs/contracts/ are the copy for who reads on GitHub.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

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


def notebooks() -> dict[str, str]:
    """Notebooks by their places in the site."""
    return {f"notebooks/{path.stem}.md": f"docs/notebooks/{path.name}" for path in ROOT.glob("docs/notebooks/*.ipynb")}


def on_files(files: Files, config: Any) -> Files:
    """Add what lies outside of docs/, notebooks, and the reference."""
    for place, source in sources().items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    for place, source in notebooks().items():
        for path, content in shown(ROOT / source):
            files.append(File.generated(config, posixpath.join(posixpath.dirname(place), path), content=content))
    files.append(File.generated(config, "api.md", content=api()))
    return files


def shown(notebook: Path) -> Iterator[tuple[str, str | bytes]]:
    """A notebook as a page, and the pictures in it, each by its path beside the notebook."""
    names = {"unique_key": notebook.stem, "output_files_dir": f"{notebook.stem}_files"}
    page, resources = MarkdownExporter().from_filename(str(notebook), resources=names)
    yield f"{notebook.stem}.md", f"{page}\n[This page as a notebook]({notebook.name})\n"
    yield from resources["outputs"].items()


def api() -> str:
    """The reference: every public name, by its docstring."""
    parts = ["# API", "All that the author of a plugin or of a script needs."]
    return "\n\n".join([*parts, *(f"::: {path}" for _, path in public())])


def public() -> Iterator[tuple[str, str]]:
    """Every public name, and where it is defined."""
    for home in HOMES:
        module = import_module(home)
        yield from ((name, f"{getattr(module, '_HOME', {}).get(name, home)}.{name}") for name in sorted(module.__all__))


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as they are in the repository become links of the site; of what is no page, the words stay."""
    place = page.file.src_uri
    source = sources().get(place, f"docs/{place}")
    known = {path: site for site, path in (sources() | notebooks()).items()} | contracts()

    def linked(match: re.Match[str]) -> str:
        picture, words, target = match.groups()
        path, hash_, anchor = target.partition("#")
        if not path or ":" in path or target == posixpath.basename(notebooks().get(place, "")):
            return match[0]
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        site = known.get(wanted) or wanted.removeprefix("docs/")
        if files.get_file_from_path(site.partition("#")[0]) is None:
            return words
        relative = posixpath.relpath(site, posixpath.dirname(place) or ".")
        return f"{picture}[{words}]({relative}{hash_}{anchor})"

    return LINK.sub(linked, markdown)


def contracts() -> dict[str, str]:
    """Where the reference has what docs/contracts/ has."""
    pages = {f"docs/contracts/{name}.md": f"api.md#{path}" for name, path in public()}
    return pages | {"docs/contracts/README.md": "api.md"}
