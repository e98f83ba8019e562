"""Inputs and targets out of one .npz, .csv or .parquet file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from hybridopt.errors import ConfigError, DataError, brief, options
from hybridopt.toolbox.tables import Names, Part, as_array, chosen_columns, refuse_shared, without_words

SUFFIXES = (".npz", ".csv", ".parquet")
SEPARATORS = (";", "\t", "|")  # that files called .csv have in the place of commas


@dataclass(frozen=True)
class Content:
    """What a file holds for learning.

    Args:
        inputs: the columns, or the array.
        targets: likewise.
        others: what else was asked for, by the setting that names it: "split", "sample_weight".
    """

    inputs: Part
    targets: Part
    others: dict[str, Part]


def read_file(
    path: str,
    inputs: Names,
    target: Names,
    others: Mapping[str, str | None] = {},
    setting: str = "path",
) -> Content:
    """The inputs and the targets that a .npz, .csv or .parquet file holds.

    Args:
        path: relative to the working directory.
        inputs: the columns, or the key of an array; None for all other columns, or the key "inputs".
        target: the columns, or the key.
        others: a column or key for further settings, by their names; None where one names none.
        setting: that names the path, for messages.

    Raises:
        DataError: the file cannot be read, or lacks what is asked of it.
        ConfigError: a setting does not go with this file.
    """
    file = _existing(path, setting)
    read = _read_npz if is_archive(path) else _read_table
    return read(file, inputs, target, {name: value for name, value in others.items() if value is not None})


def is_archive(path: str) -> bool:
    """Whether a path is that of an .npz, which holds arrays, and no table."""
    return Path(path).suffix.lower() == ".npz"


def _existing(path: str, setting: str) -> Path:
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        found = "is a folder" if file.is_dir() else "does not exist"
        raise DataError(f"dataset.{setting} is {path!r}, but {file} {found}: give a .npz, .csv or .parquet file.")
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


def _read_npz(file: Path, inputs: Names, target: Names, others: Mapping[str, str]) -> Content:
    asked = {"inputs": "inputs" if inputs is None else inputs, "target": target, **others}
    with _opened(file) as archive:
        if not isinstance(archive, Mapping):
            raise DataError(f"{file} holds one bare array: write it with numpy.savez(path, inputs=..., target=...).")
        parts = {setting: _read_array(file, archive, setting, key) for setting, key in asked.items()}
    (count, *_) = (len(values) for values in parts["inputs"].columns.values())
    for setting, part in parts.items():
        for values in part.columns.values():
            if len(values) != count:
                what = "targets" if setting == "target" else f"values for dataset.{setting}"
                raise DataError(
                    f"{file} has {count} inputs but {len(values)} {what}: give as many of the one as the other."
                )
    return Content(parts.pop("inputs"), parts.pop("target"), parts)


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


def _read_table(file: Path, inputs: Names, target: Names, others: Mapping[str, str]) -> Content:
    table = _table(file)
    targets = chosen_columns(table.columns, "target", target, str(file))
    taken = {setting: chosen_columns(table.columns, setting, name, str(file)) for setting, name in others.items()}
    besides = [*targets, *(name for names in taken.values() for name in names)]
    features = _all_but(file, table, besides) if inputs is None else _named(file, table, inputs)
    refuse_shared(features, targets)
    parts = {setting: _part(file, table, names) for setting, names in taken.items()}
    return Content(_part(file, table, features), _part(file, table, targets), parts)


def _table(file: Path) -> pd.DataFrame:
    """The rows of a table, whose columns have text for names, each another one."""
    text = file.suffix.lower() == ".csv"
    try:
        names = _header(file) if text else pq.read_schema(file).names
        _refuse_odd_names(file, names)
        table = _text_table(file) if text else pd.read_parquet(file)
    except DataError:
        raise
    except Exception as error:  # pandas and arrow each raise errors of their own for a broken file
        raise _unreadable(file, error) from error
    if not len(table):
        raise DataError(f"{file} has no rows: give a file with at least one sample.")
    table.columns = table.columns.map(str)
    return table


def _header(file: Path) -> list[str]:
    """The names as they are in the file, of which pandas would change those that occur again."""
    first = pd.read_csv(file, header=None, nrows=1, dtype=str, keep_default_na=False)
    return [name for name in first.iloc[0].tolist() if name]


def _refuse_odd_names(file: Path, names: list[str]) -> None:
    if twins := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{file} has several columns of the name {twins[0]!r}: give each a name of its own.")
    if len(names) == 1 and (found := next((mark for mark in SEPARATORS if mark in names[0]), None)):
        raise DataError(
            f"{file} has one column, {names[0]!r}, whose fields seem to be separated by {found!r}: write it with "
            f"commas, as pandas.read_csv(path, sep={found!r}).to_csv(path, index=False) does."
        )


def _text_table(file: Path) -> pd.DataFrame:
    """A .csv, in whose columns of text "NA" or "None" is a word like any other."""
    table = pd.read_csv(file, low_memory=False, keep_default_na=False, na_values=[""])
    return pd.DataFrame({name: without_words(cast("pd.Series", table[name])) for name in table.columns}, table.index)


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
    return Part(file, "column", {name: as_array(cast("pd.Series", table[name])) for name in names})
