"""Directories of runs on the command line: whether one can be made, how it is taken back, and where one is not."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hybridopt.errors import ConfigError, StorageError, brief
from hybridopt.execution.identity import CHECKSUM
from hybridopt.tracking.checked import CONFIG_FILE

FOLDERS = ("--config-dir", "-cd", "--config-path", "-cp")  # arguments that name a folder of configs, or
NAMES = ("experiment", "--config-name", "-cn")  # a config in one
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


def check_no_run(arguments: Sequence[str]) -> None:
    """Refuse the config of a run in the place of a preset: Hydra would take the default job, or a part of that run's.

    Args:
        arguments: of the program.

    Raises:
        ConfigError: one of them names a run's directory, or the config in it.
    """
    words = [part for argument in arguments for part in argument.split("=", 1)]
    for flag, value in pairwise(words):
        is_path = flag in FOLDERS or (flag.lstrip("+") in NAMES and ("/" in value or value.endswith(".yaml")))
        if is_path and (run := _run_at(Path(value.strip("'\"")))) is not None:
            raise ConfigError(f"{value} is the config of a run, and no preset: type rerun={run} to run its job again.")


def _run_at(path: Path) -> Path | None:
    """The directory of a run that a path names, by itself or by the config in it."""
    folder = path.parent if path.name in (CONFIG_FILE, Path(CONFIG_FILE).stem) else path
    try:
        return folder if CHECKSUM in (folder / CONFIG_FILE).read_text(encoding="utf-8") else None
    except (OSError, UnicodeDecodeError):
        return None


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
