"""Columns of numbers and text: which are inputs and which are targets, and what may be learned from them.

Everything that cannot be learned from is refused in one sentence that names the column and the remedy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridopt.errors import ConfigError, DataError, options

NUMERIC = "biuf"  # numpy's kinds: bool, int, unsigned, float
TEXT = "OUST"  # Python objects, text, bytes, numpy 2's strings
MOST_CLASSES = 20  # of whole numbers that task=auto takes for classes without asking
FEWEST_SAMPLES = 5  # that each of them must have on average
MOST_EXACT = 2**53  # whole numbers that a float holds exactly
MISSING = (
    "",
    "na",
    "n/a",
    "<na>",
    "nan",
    "-nan",
    "null",
    "none",
    "#na",
    "#n/a",
    "#n/a n/a",
)  # pandas', whatever their case
BOOLEANS = dict.fromkeys(["True", "TRUE", "true"], True) | dict.fromkeys(["False", "FALSE", "false"], False)  # likewise
Names = str | Sequence[str] | None
"""One column or several; None for the default."""


@dataclass(frozen=True)
class Part:
    """The inputs or the targets, as a file has them.

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

    def joined(self) -> np.ndarray:
        """Columns (N,) side by side as (N, columns); one array (N, ...) as it is."""
        return np.column_stack(list(self.columns.values()))

    def labels(self) -> np.ndarray:
        """Class labels (N,), numbers or text.

        Raises:
            DataError: there are several per sample, some are missing, or they are neither numbers nor text.
        """
        values = self.joined()
        if values.shape[1:] != (1,):
            raise DataError(
                f"Classification needs one label per sample, but the {self} has the shape {values.shape}: "
                "give class labels (for one-hot rows, array.argmax(1)), or take dataset.task=regression."
            )
        if values.dtype.kind in NUMERIC:
            self._refuse_non_finite()
            return values[:, 0]
        if values.dtype.kind not in TEXT:
            raise DataError(f"Class labels must be numbers or text, but the {self} has the type {values.dtype}.")
        if missing := int(pd.isna(values).sum()):
            raise DataError(f"The {self} has no label in {missing} of {len(values)} samples: label or drop them.")
        return values[:, 0].astype(str) if values.dtype == object else values[:, 0]

    def amounts(self) -> np.ndarray:
        """Regression targets (N, outputs).

        Raises:
            DataError: they are no finite numbers, or have more dimensions.
        """
        values = self.numbers()
        if values.ndim > 2:
            raise DataError(
                f"Regression targets must have the shape (samples, outputs), but the {self} has "
                f"the shape {values.shape}: give one row per sample, as array.reshape(len(array), -1) does."
            )
        return values

    def numbers(self) -> np.ndarray:
        """Finite numbers (N, ...) in float64, or (N, columns) of a table.

        Raises:
            DataError: there is text among them, or a value is missing, infinite or too large.
        """
        self._refuse_others()
        self._refuse_non_finite()
        return np.column_stack([values.astype(np.float64) for values in self.columns.values()])

    def whole_numbers(self) -> np.ndarray:
        """Whole numbers (N, ...) in int64, or (N, columns) of a table.

        Raises:
            DataError: there are text or fractions among them, or a value is missing or too large to be exact.
        """
        self._refuse_others()
        self._refuse_non_finite()
        for name, values in self.columns.items():
            bad = _not_whole(values)
            if bad.any():
                raise DataError(
                    f"dataset.dtype=int64 needs whole numbers, but {self.kind} {name!r} of {self.file} has "
                    f"{values[bad][0]!s}: take dataset.dtype=float32, or round it."
                )
        return np.column_stack([values.astype(np.int64) for values in self.columns.values()])

    def _refuse_others(self) -> None:
        if text := {name: values for name, values in self.columns.items() if values.dtype.kind not in NUMERIC}:
            found = ", ".join(f"{name!r} (such as {_example(values)!r})" for name, values in text.items())
            raise DataError(
                f"{self.file} must have numbers to learn from, but has other values in {self.kind} {found}: turn them "
                "into numbers, or leave them out with dataset.inputs."
            )

    def _refuse_non_finite(self) -> None:
        bad = {name: unfit(values) for name, values in self.columns.items()}
        found = [
            f"{name!r} ({where.sum()}, the first at {np.argwhere(where)[0].tolist()})"
            for name, where in bad.items()
            if where.any()
        ]
        if found:
            raise DataError(
                f"{self.file} has values that are missing (NaN), infinite or too large for 32 bits in {self.kind} "
                f"{', '.join(found)}: fill them in, or drop those samples."
            )


def _not_whole(values: np.ndarray) -> np.ndarray:
    """Where finite numbers (N, ...) are fractions, or whole numbers that int64 does not hold exactly."""
    if values.dtype.kind == "f":
        return (values % 1 != 0) | (np.abs(values) > MOST_EXACT)
    return values > np.iinfo(np.int64).max if values.dtype.kind == "u" else np.zeros(values.shape, bool)


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


def as_array(column: pd.Series) -> np.ndarray:
    """The values of a column (N,): numbers, decimals and nullable booleans among them, as numbers with NaN where one is
    missing, all else as it is."""
    if isinstance(column.dtype, np.dtype) or not pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy()
        return _of_objects(values) if values.dtype == object else values
    return column.to_numpy(dtype=np.float64, na_value=np.nan)  # pandas' own types, which know NA


def _of_objects(values: np.ndarray) -> np.ndarray:
    """Python's numbers as floats; objects of another type stay."""
    known = ~pd.isna(values)
    if not known.any() or not all(isinstance(value, Real | Decimal) for value in values[known]):
        return values
    return np.array([float(value) if there else np.nan for value, there in zip(values, known, strict=True)])


def without_words(column: pd.Series) -> pd.Series:
    """A column of a text file whose only text are words for missing values, such as "NA", as numbers or booleans.

    Args:
        column: in which an empty field is missing, and each word is text still.

    Returns:
        Numbers, or Python's booleans, with NaN for what is missing; the column as it is where other text is in it, for
        which such a word may be a label.
    """
    if isinstance(column.dtype, np.dtype) and column.dtype != object:
        return column
    said = {value: str(value).strip() for value in column.dropna().unique()}
    there = {value: word for value, word in said.items() if word.lower() not in MISSING}
    for read in (BOOLEANS.get, _number):
        if there and all(read(word) is not None for word in there.values()):
            return column.astype(object).map({value: read(word) for value, word in there.items()})
    return column


def _number(word: str) -> float | None:
    try:
        return None if "_" in word else float(word)  # of Python's numbers, 1_000 is none of a table's
    except ValueError:
        return None


# -- what any table asks ----------------------------------------------------------------------------------------------


def chosen_columns(known: Collection[str], setting: str, names: Names, source: str) -> list[str]:
    """The names of existing columns, as a list.

    Args:
        known: the columns there are.
        setting: of the data set, for messages.
        names: one column, or several.
        source: where the columns are, for messages.

    Raises:
        ConfigError: none is named.
        DataError: there is no such column.
    """
    chosen = [str(name) for name in names or []] if isinstance(names, list | tuple | None) else [str(names)]
    if not chosen:
        raise ConfigError(f"dataset.{setting} names no column of {source}.{options(known)}")
    for name in chosen:
        if name not in known:
            raise DataError(f"{source} has no column {name!r} for dataset.{setting}.{options(known, name)}")
    return chosen


def refuse_shared(inputs: Iterable[str], targets: Collection[str]) -> None:
    """Refuse a target among the inputs.

    Raises:
        ConfigError: a column is both.
    """
    if both := [name for name in inputs if name in targets]:
        raise ConfigError(
            f"dataset.inputs and dataset.target both name the column {both[0]!r}, so that the answer would be part of "
            "the question: take it out of one of them."
        )


def task_of_numbers(values: np.ndarray, what: str) -> str:
    """Whether numbers are classes or amounts, where nobody has said so.

    Fractions are amounts; few, often repeated whole numbers are classes.

    Args:
        values: of all samples; what is not finite does not count.
        what: they are called in the message.

    Raises:
        ConfigError: whole numbers that may be either.
    """
    values = values[np.isfinite(values)]
    if (values % 1 != 0).any():
        return "regression"
    distinct = len(np.unique(values))
    if distinct <= MOST_CLASSES and distinct * FEWEST_SAMPLES <= len(values):
        return "classification"
    raise ConfigError(
        f"{what} holds whole numbers, {distinct} different ones in {len(values)} samples, which may be classes or "
        "amounts: say dataset.task=classification or dataset.task=regression."
    )


def unfit(values: np.ndarray) -> np.ndarray:
    """Where values (N, ...) are missing (NaN), infinite, or too large for 32 bits."""
    with np.errstate(over="ignore"):
        return ~np.isfinite(values.astype(np.float32))


def guessed_task(targets: Part) -> str:
    """What "auto" stands for: text and booleans are classes, several columns amounts; of numbers see
    :func:`task_of_numbers`.

    Raises:
        ConfigError: whole numbers that may be either.
    """
    values = targets.joined()
    if values.shape[1:] != (1,):
        return "regression"
    return task_of_numbers(values, f"The {targets}") if values.dtype.kind in "iuf" else "classification"
