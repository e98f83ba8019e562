"""What decides the result of a run besides its settings: what is in the files that these name, and whose plugins they
name.

A plugin's setting that is the path of a file or folder stands for what is in it, of whichever plugin it is: data,
weights, a table of costs. What a plugin reads without being told, or downloads, is known only when it has been built:
see :class:`~hybridopt.execution.datasheet.Datasheet`.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from hybridopt.composition import building
from hybridopt.composition.kinds import PARTS
from hybridopt.composition.targets import TARGET
from hybridopt.execution.directory import CHECKPOINT

FILE_OF, PLUGIN_OF = "file ", "plugin "  # how the names of contents begin
DATA = "data"  # the name of another digest: of the samples, as they came out of the data module
TAG = "hybridopt.contents"  # of a run in MLflow: its contents as JSON
LONGEST = 4096  # characters of a path
SETTLED = 2e9  # nanoseconds after which a file that is written again has another time

Seen = dict[str, dict[str, str]]
_known: dict[
    Path, tuple[tuple[int, ...], str]
] = {}  # of files: what tells that they are the same still, and the digest


def contents(config: Mapping[str, Any], seen: Seen | None = None) -> dict[str, str]:
    """What a job's result depends on that is not in its config.

    Args:
        config: of a job, plain values; an empty one has none.
        seen: what was found for other jobs; of a thousand that name the same files, these are looked at once.

    Returns:
        ``file <setting>`` -> digest of the file, folder or, of a data set's, pattern of files that it names; relative
        ones are looked for in the working directory. ``plugin <place>`` -> the package that brings the plugin.
    """
    parts = {kind: config[kind] for kind in (*PARTS, "weights") if kind in config}
    key = json.dumps(parts, sort_keys=True, default=str)
    if seen is not None and key in seen:
        return seen[key]
    found = dict(item for kind, settings in parts.items() for item in _of_part(kind, settings))
    if seen is not None:
        seen[key] = found
    return found


def files(found: Mapping[str, str]) -> dict[str, str]:
    """Of some contents, the digests of files, by the settings that name them."""
    return {name.removeprefix(FILE_OF): digest for name, digest in found.items() if name.startswith(FILE_OF)}


def contents_of(tags: Mapping[str, str]) -> dict[str, str]:
    """The contents by which a run in MLflow was computed; none where it has no such tag, or an odd one."""
    try:
        found = json.loads(tags.get(TAG, "{}"))
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def changed(kept: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What is another now than when it was kept, by its setting or place.

    Of a run of which nothing was kept, nothing is known to have changed; nor is what has been taken away since.

    Args:
        kept: the contents by which a run was computed, and maybe more.
        now: the contents as they are.
    """
    if not any(name.startswith(PLUGIN_OF) for name in kept):
        return []
    return [name.partition(" ")[2] for name, value in now.items() if kept.get(name) != value]


def short_hash(content: object) -> str:
    """Sixteen digits that tell plain values from others."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _of_part(kind: str, settings: Any) -> Iterator[tuple[str, str]]:
    if kind == "weights":
        yield from _of_weights(settings.get("source"))
        return
    for node in building.walk(kind, settings):
        if node.plugin is not None:
            yield f"{PLUGIN_OF}{node.path}", canonicalize_name(node.plugin.distribution)
            if (source := node.plugin.own_source) is not None:
                yield f"{FILE_OF}{node.path}", _of_file(source)
    for path, text in _texts(settings, kind):
        digest = _digest(text, pattern=kind == "dataset" and has_magic(text))
        if digest is not None:
            yield f"{FILE_OF}{path}", digest


def _of_weights(source: str | None) -> Iterator[tuple[str, str]]:
    """Of a run the checkpoint alone counts, whatever else its directory holds."""
    kept = Path(source or "").expanduser() / CHECKPOINT
    digest = _digest(str(kept) if kept.is_file() else source, pattern=False) if source else None
    if digest is not None:
        yield f"{FILE_OF}weights.source", digest


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """The texts among settings, by their dotted paths; names of plugins are none."""
    if isinstance(value, str) and 0 < len(value) <= LONGEST and "\0" not in value:
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in ("name", TARGET):
                yield from _texts(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}.{index}")


def _digest(text: str, pattern: bool) -> str | None:
    """The digest of what a text names; None where it names nothing that can be read, as most do."""
    try:
        place = Path(text).expanduser()
        if place.is_file():
            return _of_file(place)
        if place.is_dir() and not Path.cwd().is_relative_to(place.resolve()):  # where runs are kept is no input
            return _of_files((str(path.relative_to(place)), path) for path in _below(place, set()))
        if pattern and re.search(r"\w", text):
            found = sorted(path for path in map(Path, glob(str(place))) if path.is_file())
            return _of_files((path.name, path) for path in found) if found else None
    except (OSError, RuntimeError):  # an unknown user; the job says what is wrong with it
        return None
    return None


def _of_files(named: Iterable[tuple[str, Path]]) -> str:
    return short_hash([(name, _of_file(path)) for name, path in named])


def _below(folder: Path, entered: set[Path]) -> Iterator[Path]:
    """The files of a folder and of those in it, in the order of their names; hidden ones are left out."""
    if folder.resolve() in entered:  # a link that leads back
        return
    entered.add(folder.resolve())
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _below(path, entered)
        elif path.is_file():
            yield path


def _of_file(path: Path) -> str:
    """The digest of a file, which is read once in a process, as long as it is the same."""
    place, there = path.absolute(), path.stat()
    mark = (there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns)
    if place in _known and _known[place][0] == mark:
        return _known[place][1]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    if time.time_ns() - max(there.st_mtime_ns, there.st_ctime_ns) > SETTLED:
        _known[place] = mark, digest
    return digest
