"""Whether what decides the result of a run is still what it was when the run began."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hybridopt.errors import ResumeError
from hybridopt.execution.contents import DATA, FILE_OF, PLUGIN_OF, short_hash
from hybridopt.execution.identity import read_as_begun, read_config, relevant

CODE = "code"  # which is told, and may differ
SETTING = "setting "  # how the name of a setting's digest begins


def check_same(found: Mapping[str, str], expected: Mapping[str, str], subject: str, directory: Path) -> None:
    """Refuse to go on with a run whose result is decided by something else now.

    Args:
        found: the digests by which it began; none where they were not kept.
        expected: those of the run that is to go on.
        subject: begins the sentence.
        directory: the run's.

    Raises:
        ResumeError: they differ.
    """
    differing = [name for name in _comparable(found, expected) if found.get(name) != expected.get(name)]
    if found and differing:
        begun = _as_begun(directory, expected)
        differing = [name for name in differing if name not in begun or found.get(name) != begun[name]]
    if found and differing:
        raise ResumeError(f"{subject} {', '.join(map(_other, differing))}: {remedy(directory)}.")


def _as_begun(directory: Path, expected: Mapping[str, str]) -> dict[str, str]:
    """The digests of those settings of the run in a directory whose names have changed since it began.

    Args:
        directory: of a run.
        expected: the digests of what is to go on; what has other settings than that run is left out.
    """
    begun, now = relevant(read_as_begun(directory)), relevant(read_config(directory))
    changed = [
        key for key in begun if begun[key] != now[key] and expected.get(f"{SETTING}{key}") == short_hash(now[key])
    ]
    return {f"{SETTING}{key}": short_hash(begun[key]) for key in changed}


def _comparable(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """The digests that must agree: of code none, and of contents none where a former version has kept none."""
    kept = any(name.startswith(PLUGIN_OF) for name in found)
    names = [name for name in {**expected, **found} if name != CODE]
    return [name for name in names if kept or not name.startswith((FILE_OF, PLUGIN_OF))]


def _other(name: str) -> str:
    """A digest that differs, in words."""
    if name.startswith(FILE_OF):
        return f"other contents of {name.removeprefix(FILE_OF)}"
    if name.startswith(PLUGIN_OF):
        return f"another package's {name.removeprefix(PLUGIN_OF)}"
    return "other data" if name == DATA else f"another {name}"


def remedy(directory: Path) -> str:
    """What to do about a run that cannot go on."""
    return (
        "put the former one, and what it was made with, back, and type the same again; or begin again by the command "
        f"that began it and hydra.run.dir={directory} start_over=true"
    )
