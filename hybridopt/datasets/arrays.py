"""The user's own data: one .npz, .csv or .parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hybridopt.core.data import TensorDataModule
from hybridopt.errors import ConfigError, DataError, options
from hybridopt.toolbox.splits import split_arrays

SUFFIXES = (".npz", ".csv", ".parquet")
NUMERIC = "biuf"  # numpy's kinds: bool, int, unsigned, float
TEXT = "OUST"  # Python objects, text, bytes, numpy 2's strings
MOST_CLASSES = 20  # of whole numbers that task=auto takes for classes without asking
FEWEST_SAMPLES = 5  # that each of them must have on average


def arrays(
    path: str,
    target: str | list[str] = "target",
    inputs: str | list[str] | None = None,
    task: Literal["auto", "classification", "regression"] = "auto",
    standardise: bool = True,
    batch_size: int | None = 256,
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
    split_seed: int = 0,
) -> TensorDataModule:
    """Your own data from a .npz, .csv or .parquet file.

    A table has one sample a row; an .npz holds an array of inputs (N, ...) and one of targets (N,) or (N, outputs).
    Class labels may be text; they are numbered in sorted order.

    Args:
        path: the file, relative to the working directory.
        target: the column of the table (a list for several regression targets), or the key of the .npz.
        inputs: the columns, or the key; by default all other columns, or the key "inputs".
        task: "auto" takes text, booleans and few, often repeated whole numbers for classes, fractions and several
            columns for regression, and asks in between.
        standardise: bring the inputs (and regression targets) to mean 0 and variance 1 on the training set.
        batch_size: samples in a training batch; None for all of them.
        val_fraction: the share of all samples for validation.
        test_fraction: the share of all samples for the test.
        split_seed: fixes which sample goes where.

    Returns:
        Inputs float32 (N, ...); targets int64 (N,) for classes, float32 (N, outputs) for values.

    Raises:
        DataError: the file cannot be read, or its content cannot be learned from.
        ConfigError: a setting is out of range.
    """
    file = _existing(path)
    read = _read_npz if file.suffix.lower() == ".npz" else _read_table
    features, targets = read(file, inputs, target)
    task = _guess_task(targets) if task == "auto" else task
    values = _labels(targets) if task == "classification" else _amounts(targets)
    return split_arrays(
        _numbers(features),
        values,
        task,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        batch_size=batch_size,
        standardise=standardise,
    )


def _examples(folder: Path) -> list[dict[str, Any]]:
    """Settings of small files, written here, by which the conformance kit tries the data set."""
    rng = np.random.default_rng(0)
    classes = np.arange(90) % 3
    inputs = rng.normal(classes[:, None], size=(90, 4))
    table = pd.DataFrame(inputs, columns=list("abcd"))
    np.savez(folder / "own.npz", inputs=inputs, target=classes)
    table.assign(kind=classes.astype(str)).to_csv(folder / "own.csv", index=False)
    table.to_parquet(folder / "own.parquet")
    return [
        {"path": str(folder / "own.npz")},
        {"path": str(folder / "own.npz"), "task": "classification"},
        {"path": str(folder / "own.csv"), "target": "kind"},
        {"path": str(folder / "own.parquet"), "target": ["c", "d"], "inputs": ["a", "b"], "batch_size": 16},
        {"path": str(folder / "own.parquet"), "target": "d", "task": "regression"},
    ]


arrays.conformance = {"settings": _examples}


@dataclass(frozen=True)
class Part:
    """The inputs or the targets, as the file has them.

    Args:
        file: where they come from, for messages.
        kind: "array" or "column", for messages.
        columns: the values of each column (N,) by name, or of the one array (N, ...).
    """

    file: Path
    kind: str
    columns: dict[str, np.ndarray]

    def __str__(self) -> str:
        return f"{self.kind} {', '.join(map(repr, self.columns))} of {self.file}"


# -- reading ----------------------------------------------------------------------------------------------------------


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
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return DataError(f"{file} cannot be read as a {file.suffix.lower()} file ({reason}): repair it, or write it anew.")


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """What numpy finds in the file; closed afterwards, also where numpy fails and would leave it open."""
    with ExitStack() as stack:
        try:
            content = np.load(stack.enter_context(file.open("rb")), allow_pickle=False)
        except Exception as error:  # zipfile, zlib and numpy each have their own words for a broken file
            raise _unreadable(file, error) from error
        yield content


def _read_npz(file: Path, inputs: str | list[str] | None, target: str | list[str]) -> tuple[Part, Part]:
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


def _read_array(file: Path, archive: Mapping[str, np.ndarray], setting: str, key: str | list[str]) -> Part:
    if not isinstance(key, str):
        raise ConfigError(f"dataset.{setting} must be one key of the .npz file, but is the list {list(key)}.")
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


def _read_table(file: Path, inputs: str | list[str] | None, target: str | list[str]) -> tuple[Part, Part]:
    try:
        table = pd.read_csv(file, low_memory=False) if file.suffix.lower() == ".csv" else pd.read_parquet(file)
    except Exception as error:  # pandas and arrow each have their own words for a broken file
        raise _unreadable(file, error) from error
    if not len(table):
        raise DataError(f"{file} has no rows: give a file with at least one sample.")
    table.columns = table.columns.map(str)
    targets = _chosen(file, table, "target", target)
    features = _all_but(file, table, targets) if inputs is None else _chosen(file, table, "inputs", inputs)
    if both := [name for name in features if name in targets]:
        raise ConfigError(
            f"dataset.inputs and dataset.target both name the column {both[0]!r}, so that the answer would be part of "
            "the question: take it out of one of them."
        )
    return _part(file, table, features), _part(file, table, targets)


def _chosen(file: Path, table: pd.DataFrame, setting: str, names: str | list[str]) -> list[str]:
    names = [str(name) for name in names or []] if isinstance(names, list | tuple | None) else [str(names)]
    if not names:
        raise ConfigError(f"dataset.{setting} names no column of {file}.{options(table.columns)}")
    for name in names:
        if name not in table.columns:
            raise DataError(f"{file} has no column {name!r} for dataset.{setting}.{options(table.columns, name)}")
    return names


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
    return Part(file, "column", {name: _as_numpy(table[name]) for name in names})


def _as_numpy(column: pd.Series) -> np.ndarray:
    if isinstance(column.dtype, np.dtype) or not pd.api.types.is_numeric_dtype(column):
        return column.to_numpy()
    return column.to_numpy(dtype=np.float64, na_value=np.nan)  # pandas' own types, which know NA


# -- judging ----------------------------------------------------------------------------------------------------------


def _guess_task(targets: Part) -> str:
    """What "auto" stands for.

    Raises:
        ConfigError: whole numbers that may be either.
    """
    values = _joined(targets.columns.values())
    if values.shape[1:] != (1,):
        return "regression"
    if values.dtype.kind not in "iuf":
        return "classification"
    values = values[np.isfinite(values)]
    if (values % 1 != 0).any():
        return "regression"
    distinct = len(np.unique(values))
    if distinct <= MOST_CLASSES and distinct * FEWEST_SAMPLES <= len(values):
        return "classification"
    raise ConfigError(
        f"The {targets} holds whole numbers, {distinct} different ones in {len(values)} samples, which may be classes "
        "or amounts: say dataset.task=classification or dataset.task=regression."
    )


def _labels(targets: Part) -> np.ndarray:
    """Class labels (N,), numbers or text."""
    values = _joined(targets.columns.values())
    if values.shape[1:] != (1,):
        raise DataError(
            f"Classification needs one label a sample, but the {targets} has the shape {values.shape}: "
            "give class labels (for one-hot rows, array.argmax(1)), or take dataset.task=regression."
        )
    if values.dtype.kind in NUMERIC:
        _refuse_non_finite(targets)
        return values[:, 0]
    if values.dtype.kind not in TEXT:
        raise DataError(f"Class labels must be numbers or text, but the {targets} has the type {values.dtype}.")
    if missing := int(pd.isna(values).sum()):
        raise DataError(f"The {targets} has no label in {missing} of {len(values)} samples: label or drop them.")
    return values[:, 0].astype(str) if values.dtype == object else values[:, 0]


def _amounts(targets: Part) -> np.ndarray:
    """Regression targets (N, outputs)."""
    values = _numbers(targets)
    if values.ndim > 2:
        raise DataError(
            f"Regression targets must have the shape (samples, outputs), but the {targets} has "
            f"the shape {values.shape}: give one row a sample, as array.reshape(len(array), -1) does."
        )
    return values


def _numbers(part: Part) -> np.ndarray:
    """Numbers (N, ...), or (N, columns) of a table."""
    text = {name: values for name, values in part.columns.items() if values.dtype.kind not in NUMERIC}
    if text:
        found = ", ".join(f"{name!r} (such as {_example(values)!r})" for name, values in text.items())
        raise DataError(
            f"{part.file} must have numbers to learn from, but has other values in {part.kind} {found}: turn them into "
            "numbers, or leave them out with dataset.inputs."
        )
    _refuse_non_finite(part)
    return _joined(values.astype(np.float64) for values in part.columns.values())


def _joined(columns: Iterable[np.ndarray]) -> np.ndarray:
    """Columns (N,) side by side as (N, columns); one array (N, ...) as it is."""
    return np.column_stack(list(columns))


def _refuse_non_finite(part: Part) -> None:
    with np.errstate(over="ignore"):
        bad = {name: ~np.isfinite(values.astype(np.float32)) for name, values in part.columns.items()}
    found = [f"{name!r} ({where.sum()}, the first at {_first(where)})" for name, where in bad.items() if where.any()]
    if found:
        raise DataError(
            f"{part.file} has values that are missing (NaN), infinite or too large for 32 bits in {part.kind} "
            f"{', '.join(found)}: fill them in, or drop those samples."
        )


def _first(where: np.ndarray) -> str:
    return f"{np.argwhere(where)[0].tolist()}"


def _example(values: np.ndarray) -> Any:
    """The first value that is no number, where text hides one among numbers."""
    found = values.ravel().tolist()
    return next((value for value in found if not _is_number(value)), found[0])


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return value is None
    return True
