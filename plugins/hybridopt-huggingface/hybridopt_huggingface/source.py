"""Where rows come from: the hub, its cache, or local files; what cannot be read is said in one sentence.

No code of a data set's own is ever run: ``trust_remote_code`` is not passed on, and the library refuses scripts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as parquet
from datasets import Dataset, DatasetDict
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hybridopt import ConfigError, DataError

PATIENCE = 10.0  # seconds for the hub's first answer; the library itself would ask six times, a minute in all or more
LONGEST = 300  # characters of a foreign message that are worth repeating
READERS: dict[str, tuple[str, dict[str, Any]]] = {  # suffix -> builder of the datasets library, its settings
    ".csv": ("csv", {}),
    ".tsv": ("csv", {"sep": "\t"}),
    ".json": ("json", {}),
    ".jsonl": ("json", {}),
    ".parquet": ("parquet", {}),
    ".arrow": ("arrow", {}),
}
Files = str | Mapping[str, str] | None
SAVED = ("dataset_dict.json", "state.json")  # by which a directory of save_to_disk is known
NO_ROWS = re.compile(r'Instruction "(\w+)" corresponds to no data')  # the library's words
REFUSED = (RepositoryNotFoundError, GatedRepoError, RevisionNotFoundError)


@dataclass(frozen=True)
class Source:
    """Rows by split, and where they come from.

    Args:
        splits: all splits there are.
        name: the hub's name or the local path, for messages.
        revision: the commit on the hub; None for local files.
        places: the local files and folders; none for the hub.
    """

    splits: Mapping[str, Dataset]
    name: str
    revision: str | None = None
    places: Sequence[str] = ()

    def facts(self) -> dict[str, str]:
        """What a run is to be remembered with."""
        return {"path": self.name} | ({"revision": self.revision} if self.revision else {})

    @cached_property
    def contents(self) -> str:
        """What identifies all rows: the commit on the hub, or a hash of the local files, which are read whole."""
        if self.revision is not None:
            return self.revision
        found = hashlib.sha256()
        for name, file in (each for place in self.places for each in _files(Path(place))):
            with file.open("rb") as opened:
                found.update(f"{name} {hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
        return found.hexdigest()[:16]


def open_source(path: str, config: str | None, revision: str | None, files: Files) -> Source:
    """Open a data set by a local path, if there is one, else by its name on the hub.

    Args:
        path: a .csv, .tsv, .json, .jsonl, .parquet or .arrow file, a pattern of such files, a folder (of tables, of
            images, or written by ``save_to_disk``), or a name on the hub.
        config: the hub's word for a variant of a data set, where it has several.
        revision: a commit, tag or branch on the hub.
        files: a file or pattern, or split -> the same, relative to the folder or repository.

    Raises:
        DataError: it cannot be found, reached or read.
        ConfigError: the settings do not go together.
    """
    place = Path(path).expanduser()
    found = sorted(glob(str(place))) if has_magic(path) else [str(place)] if path and place.exists() else []
    if found:
        if revision is not None:
            raise ConfigError(
                f"dataset.revision={revision!r} is a commit on the hub, but dataset.path={path!r} is a local path: "
                "leave one of them out."
            )
        with _no_bars():
            return Source(_as_dict(_local(place, found, config, files)), path, places=found)
    if _looks_local(path):
        raise DataError(
            f"dataset.path is {path!r}, but {place.absolute()} does not exist: give a file ({', '.join(READERS)}), "
            "a folder, or a name on the hub such as ylecun/mnist."
        )
    return _from_hub(path, config, revision, files)


def _looks_local(path: str) -> bool:
    """Whether it can be no name on the hub, which are ``name`` or ``owner/name``."""
    named = path.startswith((".", "~", "/")) or path.count("/") > 1 or has_magic(path) or "\\" in path
    return named or not path or Path(path).suffix.lower() in READERS or "://" in path


def _files(place: Path) -> Iterator[tuple[str, Path]]:
    """A file, or all files of a folder in the order of their paths; each with its name relative to the folder."""
    if place.is_file():
        yield place.name, place
        return
    for file in sorted(file for file in place.rglob("*") if file.is_file()):
        yield file.relative_to(place).as_posix(), file


def _as_dict(opened: Dataset | DatasetDict) -> Mapping[str, Dataset]:
    return {"train": opened} if isinstance(opened, Dataset) else opened


@contextmanager
def _no_bars() -> Iterator[None]:
    """Local files are read at once; a download shows the library's progress bars."""
    shown = datasets.are_progress_bars_disabled() is False
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


@contextmanager
def _reading(what: str, hint: str, files: Iterable[Path] = ()) -> Iterator[None]:
    """Whatever the library says of data that it cannot read, as one sentence."""
    try:
        yield
    except Exception as error:  # its builders, arrow, pandas, fsspec and httpx each have their own words
        if empty := _emptiness(error, files):
            raise DataError(f"{what} cannot be read: {empty} has no rows, so give it some, or take it away.") from error
        raise DataError(f"{what} cannot be read by the datasets library ({reason(error)}): {hint}.") from error


def _emptiness(error: Exception, files: Iterable[Path]) -> str | None:
    """The file or split without rows, which the library stumbles over, if that is what happened."""
    if found := NO_ROWS.search(str(error)):
        return f"the split {found[1]!r}"
    return next((str(file) for file in files if _rowless(file)), None)


def _rowless(file: Path) -> bool:
    """Whether it is a parquet file, or the state of a saved split, without rows."""
    try:
        if file.suffix.lower() == ".parquet":
            return parquet.read_metadata(file).num_rows == 0
        return file.name == "state.json" and json.loads(file.read_text(encoding="utf-8"))["_data_files"] == []
    except (OSError, ValueError, KeyError, TypeError):  # broken otherwise
        return False


def reason(error: BaseException) -> str:
    """The innermost cause of an error, in one line of bearable length."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


# -- local files ------------------------------------------------------------------------------------------------------


def _local(place: Path, found: list[str], config: str | None, files: Files) -> Dataset | DatasetDict:
    if len(found) == 1 and Path(found[0]).is_dir():
        return _folder(Path(found[0]), config, files)
    if files:
        raise ConfigError(
            f"dataset.files is relative to a folder, but dataset.path is {str(place)!r}: give the folder."
        )
    builder, settings = _reader(found)
    with _reading(str(place), "repair the file, or write it again", map(Path, found)):
        return datasets.load_dataset(builder, data_files=found, **settings)


def _reader(found: list[str]) -> tuple[str, dict[str, Any]]:
    suffixes = {Path(file).suffix.lower() for file in found}
    suffix = suffixes.pop()
    if suffixes or suffix not in READERS:
        name = found[0] if not suffixes else f"{found[0]} and others"
        raise DataError(f"{name} must have one of the suffixes {', '.join(READERS)}, all the same, but has {suffix!r}.")
    if empty := [file for file in found if Path(file).stat().st_size == 0]:
        raise DataError(f"{empty[0]} is empty: give a file with at least one row.")
    return READERS[suffix]


def _folder(place: Path, config: str | None, files: Files) -> Dataset | DatasetDict:
    hint = "give a folder of tables, of images in a folder a class, or one written by save_to_disk"
    with _reading(f"The folder {place}", hint, place.rglob("*.*")):
        if any((place / name).exists() for name in SAVED):
            return datasets.load_from_disk(str(place))
        return datasets.load_dataset(str(place), name=config, data_files=files or None)


# -- the hub ----------------------------------------------------------------------------------------------------------


def _from_hub(name: str, config: str | None, revision: str | None, files: Files) -> Source:
    """Ask the hub once, for the commit, and read exactly that; where it does not answer, read its cache."""
    commit = _commit(name, revision)
    if commit is None:
        return _cached(name, config, revision, files)
    with _reading(f"{name} on the hub", "see the hub's page of the data set, or download it and give the files"):
        opened = datasets.load_dataset(name, name=config, data_files=files or None, revision=commit)
    return Source(_as_dict(opened), name, commit)


def _commit(name: str, revision: str | None) -> str | None:
    """The commit that a revision is on the hub; None if the hub does not answer.

    Raises:
        DataError: the hub answers that there is no such thing.
    """
    try:
        return HfApi(endpoint=datasets.config.HF_ENDPOINT).dataset_info(name, revision=revision, timeout=PATIENCE).sha
    except HFValidationError as error:
        raise DataError(
            f"dataset.path={name!r} is neither a local path nor a name on the hub ({reason(error)})."
        ) from error
    except REFUSED as error:
        raise DataError(_refusal(name, revision, error)) from error
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code < 500:
            raise DataError(f"The hub refuses the data set {name!r} ({reason(error)}).") from error
        return None
    except Exception:  # no name resolution, no route, no answer, offline mode: each layer has its own classes
        return None


def _refusal(name: str, revision: str | None, error: Exception) -> str:
    if isinstance(error, RevisionNotFoundError):
        return f"The data set {name!r} has no revision {revision!r} on the hub: give a commit, tag or branch of it."
    if isinstance(error, GatedRepoError):
        return (
            f"The data set {name!r} is gated: ask for access on its page on the hub, and log in with `hf auth login`."
        )
    return (
        f"There is no data set {name!r} on the hub, nor a local path of that name: give owner/name as its page on the "
        "hub shows it (if it is private, log in with `hf auth login`), or a local file or folder."
    )


@contextmanager
def _offline() -> Iterator[None]:
    """Spare the library its own round of asking; it then looks into its cache."""
    before, datasets.config.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _cached(name: str, config: str | None, revision: str | None, files: Files) -> Source:
    """What an earlier run left in the library's cache.

    Raises:
        DataError: it has left nothing, or another revision than the one asked for.
    """
    try:
        with _offline():
            builder = datasets.load_dataset_builder(name, name=config, data_files=files or None)
            builder.download_and_prepare()
    except Exception as error:
        known = f" (the cache: {reason(error)})" if isinstance(error, ValueError) else ""
        raise DataError(
            f"The Hugging Face hub cannot be reached for the data set {name!r}, and no earlier run left it in the "
            f"cache {datasets.config.HF_DATASETS_CACHE}{known}: connect to the internet, or give local files, for "
            "example dataset.path=folder."
        ) from error
    if revision not in (None, "main", builder.hash):
        raise DataError(
            f"The Hugging Face hub cannot be reached, and the cache holds {name!r} at the revision {builder.hash}, not "
            f"{revision}: connect to the internet, or type dataset.revision={builder.hash}."
        )
    return Source(_as_dict(builder.as_dataset()), name, builder.hash)
