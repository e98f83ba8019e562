"""What a column holds, and the table that it is read from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Array2D, Array3D, Array4D, Array5D, ClassLabel, Dataset, Features, Image, LargeList, List, Value

from hybridopt import ConfigError, DataError
from hybridopt.toolbox.messages import options
from hybridopt.toolbox.tables import chosen_columns, refuse_shared, unfit

KINDS = ("image", "text", "category", "number")
FEW = 100  # different texts at most that are categories without asking, where there are other columns
CHUNK = 1000  # rows that are read at once


@dataclass(frozen=True)
class Rows:
    """The rows of one set.

    Args:
        data: only the columns that are learned from.
        name: "train", "val" or "test", for messages.
    """

    data: Dataset
    name: str

    @classmethod
    def of(cls, data: Dataset, columns: Sequence[str], name: str, source: str) -> Rows:
        """The rows with these columns only, read as arrow tables.

        Raises:
            DataError: there is no such column.
        """
        for column in columns:
            if column not in data.features:
                raise DataError(
                    f"The {name} set of {source} has no column {column!r}, but the training set has."
                    f"{options(data.features, column)}"
                )
        return cls(data.select_columns(list(columns)).with_format("arrow"), name)

    def __len__(self) -> int:
        return len(self.data)

    def taken(self, numbers: Sequence[int], name: str) -> Rows:
        """The rows of these numbers as a set of their own."""
        return Rows(self.data.select(numbers, keep_in_memory=True), name)

    def chunks(self) -> Iterator[Chunk]:
        """All rows, in order."""
        for start in range(0, len(self), CHUNK):
            yield self.chunk(range(start, min(start + CHUNK, len(self))))

    def chunk(self, numbers: Sequence[int]) -> Chunk:
        """The rows of these numbers, in that order."""
        return Chunk(self.data[numbers], self.name, numbers)

    def column(self, name: str) -> Chunk:
        """One column whole."""
        return Chunk(self.data.select_columns([name])[:], self.name, range(len(self)))


@dataclass(frozen=True)
class Chunk:
    """Some rows of a set.

    Args:
        table: one arrow column each.
        set: the set's name, for messages.
        numbers: the rows' numbers in that set, for messages.
    """

    table: pa.Table
    set: str
    numbers: Sequence[int]

    def where(self, index: int) -> str:
        """The place of a row, for messages."""
        return f"row {self.numbers[index]} of the {self.set} set"

    def whole(self, name: str) -> pa.Array:
        """A column without gaps.

        Raises:
            DataError: it has rows without a value.
        """
        column = self.table.column(name)
        if missing := column.null_count:
            first = pc.index(pc.is_null(column), True).as_py()
            raise DataError(
                f"The column {name!r} has no value in {missing} rows, the first in {self.where(first)}: fill them in, "
                "or drop those rows."
            )
        array = column.combine_chunks()
        array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
        return array.storage if isinstance(array, pa.ExtensionArray) else array

    def numbers_of(self, name: str) -> np.ndarray:
        """A column of numbers, or of arrays of equal shape, as float64 (N, ...).

        Raises:
            DataError: a value is missing, not finite, or too large for 32 bits, or the shapes differ.
        """
        array, shape = self.whole(name), [len(self.table)]
        while (
            pa.types.is_list(array.type)
            or pa.types.is_large_list(array.type)
            or pa.types.is_fixed_size_list(array.type)
        ):
            lengths = pc.unique(pc.list_value_length(array)).to_pylist()
            if len(lengths) > 1:
                raise DataError(
                    f"The column {name!r} of the {self.set} set holds arrays of unequal lengths, such as {lengths[0]} "
                    f"and {lengths[1]}: cut or fill them to one length, or leave the column out with dataset.inputs."
                )
            shape += lengths
            array = array.flatten()
        values = pc.cast(array, pa.float64()).to_numpy(zero_copy_only=False).reshape(shape)
        bad = unfit(values).reshape(len(values), -1).any(axis=1)
        if bad.any():
            raise DataError(
                f"The column {name!r} has values that are missing (NaN), infinite or too large for 32 bits in "
                f"{bad.sum()} rows, the first in {self.where(int(bad.argmax()))}: fill them in, or drop those rows."
            )
        return values

    def texts_of(self, name: str) -> list[str]:
        """A column of texts, or of anything that can be written as text."""
        return pc.cast(self.whole(name), pa.large_string()).to_pylist()


def checked_kinds(
    features: Features, kinds: str | Mapping[str, str] | None, inputs: Sequence[str], source: str
) -> dict[str, str]:
    """What the user says of columns, by column.

    Args:
        features: the types of all columns.
        kinds: one for all inputs, or column -> kind.
        inputs: the input columns.
        source: where they come from, for messages.

    Raises:
        DataError: there is no such column.
        ConfigError: there is no such kind, or it does not suit the column's type.
    """
    said = dict.fromkeys(inputs, kinds) if isinstance(kinds, str) else dict(kinds or {})
    for name, kind in said.items():
        chosen_columns(features, "kinds", name, source)
        if kind not in KINDS:
            raise ConfigError(
                f"dataset.kinds gives {name!r} the kind {kind!r}, which there is not.{options(KINDS, kind)}"
            )
        if kind not in possible_kinds(features[name]):
            raise ConfigError(
                f"dataset.kinds gives {name!r} the kind {kind}, which does not suit its type {features[name]}."
                f"{options(possible_kinds(features[name]))}"
            )
    return said


def possible_kinds(feature: Any) -> tuple[str, ...]:
    """What a column of this type may be read as, the usual one first; nothing if it cannot be learned from."""
    match feature:
        case Image() | {"bytes": _}:
            return ("image",)
        case ClassLabel():
            return ("category", "number")
        case Value(dtype="binary" | "large_binary"):
            return ("image",)
        case Value(dtype="string" | "large_string" | "string_view"):
            return ("text", "category")
        case Value(dtype=kind) if kind == "bool" or kind.startswith(("int", "uint", "float", "decimal")):
            return ("number", "category")
        case List(feature=inner) | LargeList(feature=inner) if "number" in possible_kinds(inner):
            return ("number",)
        case Array2D() | Array3D() | Array4D() | Array5D():
            return ("number",)
    return ()


def chosen_inputs(
    features: Features, inputs: str | Sequence[str] | None, targets: Sequence[str], source: str
) -> list[str]:
    """The columns to learn from: those named, else the image, else all but the target.

    Raises:
        DataError: there is no such column, or it cannot be learned from.
        ConfigError: the target is among them, or there are several images to choose from.
    """
    if inputs is None:
        rest = [name for name in features if name not in targets]
        names = [name for name in rest if possible_kinds(features[name]) == ("image",)] or rest
    else:
        names = chosen_columns(features, "inputs", inputs, source)
    refuse_shared(names, targets)
    if not names:
        raise DataError(
            f"{source} has no column besides the target {', '.join(targets)}: add the columns to learn from."
        )
    for name in names:
        if not possible_kinds(features[name]):
            usable = [other for other in features if possible_kinds(features[other]) and other not in targets]
            raise DataError(
                f"The column {name!r} of {source} has the type {features[name]}, which cannot be learned from: name "
                f"the columns in dataset.inputs.{options(usable)}"
            )
    return names


def guessed_kinds(features: Features, names: Sequence[str], kinds: Mapping[str, str], train: Rows) -> dict[str, str]:
    """What each input column is: as the user says, else by its type; texts beside other columns by their variety."""
    found = {}
    for name in names:
        kind = kinds.get(name) or possible_kinds(features[name])[0]
        if kind == "text" and name not in kinds and len(names) > 1:
            different = len(pc.unique(train.column(name).table.column(name)))
            kind = "category" if different <= FEW else "text"
        found[name] = kind
    return found


def named(names: Iterable[str]) -> str:
    """Names for a message."""
    return ", ".join(map(repr, names))
