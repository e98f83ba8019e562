"""Inputs and targets out of one .npz, .csv or .parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from hybridopt.errors import ConfigError, DataError, brief, options
from hybridopt.toolbox.tables import Names, Part, chosen_columns, refuse_shared

SUFFIXES = (".npz", ".csv", ".parquet")


def read_file(path: str, inputs: Names, target: Names) -> tuple[Part, Part]:
    """The inputs and the targets that a .npz, .csv or .parquet file holds.

    Args:
        path: relative to the working directory.
        inputs: the columns, or the key of an array; None for all other columns, or the key "inputs".
        target: the columns, or the key.

    Raises:
        DataError: the file cannot be read, or lacks what is asked of it.
        ConfigError: a setting does not go with this file.
    """
    file = _existing(path)
    read = _read_npz if file.suffix.lower() == ".npz" else _read_table
    return read(file, inputs, target)


def _existing(path: str) -> Path:
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        found = "is a folder" if file.is_dir() else "does not exist"
        raise DataError(f"dataset.path is {path!r}, but {file} {found}: give a .npz, .csv or .parquet file.")
    if file.suffix.lower() not in SUFFIXES:
        raise DataError(f"{file} has the suffix {file.suffix!r}, but must be a .npz, .csv or .parquet file.")
    if file.stat().st_size == 0:
        raise DataError(f"{file} is empty: give a file with at least one sample.")
    return file


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(
        f"{file} cannot be read as a {file.suffix.lower()} file ({brief(error)}): repair it, or write it again."
    )


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """What numpy finds in the file; closed afterwards, also where numpy fails and would leave it open."""
    with ExitStack() as stack:
        try:
            content = np.load(stack.enter_context(file.open("rb")), allow_pickle=False)
        except Exception as error:  # zipfile, zlib and numpy each raise errors of their own for a broken file
            raise _unreadable(file, error) from error
        yield content


def _read_npz(file: Path, inputs: Names, target: Names) -> tuple[Part, Part]:
    with _opened(file) as archive:
        if not isinstance(archive, Mapping):
            raise DataError(f"{file} holds one bare array: write it with numpy.savez(path, inputs=..., target=...).")
        features = _read_array(file, archive, "inputs", "inputs" if inputs is None else inputs)
        targets = _read_array(file, archive, "target", target)
    lengths = [len(values) for part in (features, targets) for values in part.columns.values()]
    if lengths[0] != lengths[1]:
        raise DataError(
            f"{file} has {lengths[0]} inputs but {lengths[1]} targets: give as many of the one as the other."
        )
    return features, targets


def _read_array(file: Path, archive: Mapping[str, np.ndarray], setting: str, key: Names) -> Part:
    if not isinstance(key, str):
        raise ConfigError(f"dataset.{setting} must be one key of the .npz file, but is the list {list(key or [])}.")
    if key not in archive:
        raise DataError(f"{file} has no array {key!r} for dataset.{setting}.{options(archive, key)}")
    try:
        values = archive[key]
    except Exception as error:
        if "allow_pickle" not in str(error):
            raise _unreadable(file, error) from error
        raise DataError(
            f"Array {key!r} of {file} holds pickled Python objects, which could run any code and are not loaded: "
            "write it as numbers or text, for example with array.astype(float)."
        ) from error
    if values.ndim == 0 or values.size == 0:
        raise DataError(f"Array {key!r} of {file} has the shape {values.shape}: give it at least one sample.")
    return Part(file, "array", {key: values})


def _read_table(file: Path, inputs: Names, target: Names) -> tuple[Part, Part]:
    try:
        table = pd.read_csv(file, low_memory=False) if file.suffix.lower() == ".csv" else pd.read_parquet(file)
    except Exception as error:  # pandas and arrow each raise errors of their own for a broken file
        raise _unreadable(file, error) from error
    if not len(table):
        raise DataError(f"{file} has no rows: give a file with at least one sample.")
    table.columns = table.columns.map(str)
    targets = chosen_columns(table.columns, "target", target, str(file))
    features = _all_but(file, table, targets) if inputs is None else _named(file, table, inputs)
    refuse_shared(features, targets)
    return _part(file, table, features), _part(file, table, targets)


def _named(file: Path, table: pd.DataFrame, inputs: Names) -> list[str]:
    return chosen_columns(table.columns, "inputs", inputs, str(file))


def _all_but(file: Path, table: pd.DataFrame, targets: list[str]) -> list[str]:
    names = [name for name in table.columns if name not in targets]
    if not names:
        raise DataError(f"{file} has no column besides the target: add the columns to learn from.")
    if nameless := [name for name in names if name.startswith("Unnamed: ")]:
        raise DataError(
            f"{file} has a column without a name ({nameless[0]!r}), often a saved row index, which may give the answer "
            "away: write the file without it (index=False), or list the columns to learn from in dataset.inputs."
        )
    return names


def _part(file: Path, table: pd.DataFrame, names: list[str]) -> Part:
    return Part(file, "column", {name: _as_numpy(cast("pd.Series", table[name])) for name in names})


def _as_numpy(column: pd.Series) -> np.ndarray:
    if isinstance(column.dtype, np.dtype) or not pd.api.types.is_numeric_dtype(column):
        return column.to_numpy()
    return column.to_numpy(dtype=np.float64, na_value=np.nan)  # pandas' own types, which know NA
