"""The directory that Hydra makes for a run before the run begins: whether it can be, and how it is taken back."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from hybridopt.errors import ConfigError, StorageError, brief

INSIDE = ("hydra.job.name", "hydra.output_subdir")  # name what Hydra writes into a run's directory before it begins
found_before: set[Path] = set()  # directories that were there when the program started


def directories(overrides: Sequence[str]) -> Iterator[Path]:
    """The directories in which this run's own may be, of those that there are."""
    named = [Path(one.partition("=")[2]) for one in overrides if one.startswith("hydra.run.dir=")]
    for place in named or [Path("outputs"), *Path("outputs").glob("*")]:
        yield from (each for each in (place.absolute(), *place.absolute().parents) if each.is_dir())


def check_inside(overrides: Sequence[str]) -> None:
    """Refuse names by which Hydra would write outside of a run's directory.

    Raises:
        ConfigError: a name is a path that leads out.
    """
    for key, _, value in (one.lstrip("+").partition("=") for one in overrides):
        name = Path(value.strip("'\" "))
        if key in INSIDE and (name.is_absolute() or ".." in name.parts):
            raise ConfigError(f"{key} names what is written inside of a run's directory, but is {value}: type a name.")


def hydras(config: Any) -> set[str]:
    """What Hydra has written into the run's directory, by its own config."""
    return {f"{config.job.name}.log", *filter(None, [str(config.output_subdir or "").partition("/")[0]])}


def leave_nothing(directory: Path, made: Collection[str] = (".hydra", "hybridopt.log")) -> None:
    """Remove what Hydra has made for a run that was refused: its files, and the directories that were not there before.

    Args:
        directory: the run's; left alone where there is more in it.
        made: the names of Hydra's files.
    """
    if not directory.is_dir() or {one.name for one in directory.iterdir()} - set(made):
        return
    for one in directory.iterdir():
        shutil.rmtree(one) if one.is_dir() else one.unlink()
    for place in (directory, *directory.parents):
        if place in found_before or any(place.iterdir()):
            return
        place.rmdir()


def check_writable(overrides: Sequence[str]) -> None:
    """Refuse a directory in which no run can be kept, before Hydra stumbles over it.

    Raises:
        StorageError: the current directory, or the one that is named for runs, cannot be written.
    """
    told = {"--help", "-h", "--cfg", "-c", "--version", "--info", "-i", "--hydra-help", "-sc", "--shell-completion"}
    if told & set(sys.argv) or any(one.startswith("resume=") for one in overrides):
        return
    pairs = [one.partition("=")[::2] for one in overrides]
    named = [Path(value.strip("'\"")) for key, value in pairs if key in ("hydra.run.dir", "hydra.sweep.dir")]
    for place in named or [Path.cwd()]:
        if "$" not in str(place):  # which Hydra resolves
            _check_place(place)


def _check_place(place: Path) -> None:
    try:
        there = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())
        tempfile.TemporaryFile(dir=there).close()  # root may do anything, but not on every disk
    except OSError as error:
        raise StorageError(
            f"The directory {place}, in which runs are kept, cannot be written ({brief(error)}): change to another "
            "one, or name one by hydra.run.dir=<folder> (hydra.sweep.dir=<folder> with -m)."
        ) from error
