"""What is to be learned of a row: its class, or its values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Features, Value
from torch import Tensor

from hybridopt import DataError
from hybridopt.toolbox.messages import options
from hybridopt.toolbox.tables import task_of_numbers
from hybridopt_huggingface.columns import Chunk, Rows, named, possible_kinds
from hybridopt_huggingface.features import mean_and_scale, scaled, scaler

MOST_NAMES = 20  # of classes that a message lists


class Targets(ABC):
    """The answers.

    Attributes:
        task: "classification" or "regression".
        output_size: classes, or values; known after :meth:`fit`.
    """

    task: str
    output_size: int

    @abstractmethod
    def strata(self, rows: Rows) -> np.ndarray | None:
        """(N,) classes that splits are to keep in proportion, or None."""

    @abstractmethod
    def fit(self, train: Rows) -> None:
        """Learn classes or scales from the training rows."""

    @abstractmethod
    def preprocessing(self) -> dict[str, Any]:
        """Of which columns they are, and what the network's outputs stand for; known after :meth:`fit`."""

    @abstractmethod
    def encode(self, chunk: Chunk) -> Tensor:
        """Some rows: int64 (N,) classes or float32 (N, output_size) values."""


class Classes(Targets):
    """One class per row.

    Args:
        column: class numbers with names (``ClassLabel``), or text, booleans or whole numbers, which are numbered in
            sorted order.
        feature: its type.
    """

    task = "classification"

    def __init__(self, column: str, feature: ClassLabel | Value):
        self.column = column
        self.names = feature.names if isinstance(feature, ClassLabel) else None

    def strata(self, rows: Rows) -> np.ndarray:
        return self._labels(rows.column(self.column))

    def fit(self, train: Rows) -> None:
        known = self._labels(train.column(self.column))
        self.known = np.unique(known) if self.names is None else np.arange(len(self.names))
        self.output_size = len(self.known)
        if len(np.unique(known)) < 2:
            raise DataError(
                f"Classification needs at least two classes, but the column {self.column!r} holds only "
                f"{self._name(known[0])!r} in the training set: choose another target, or rows of another class."
            )

    @property
    def class_names(self) -> list[str]:
        """What the classes are called, in the order of their numbers; known after :meth:`fit`."""
        return [str(self._name(label)) for label in self.known]

    def preprocessing(self) -> dict[str, Any]:
        return {"columns": [self.column], "classes": self.class_names}

    def encode(self, chunk: Chunk) -> Tensor:
        labels = self._labels(chunk)
        numbers = np.searchsorted(self.known, labels).clip(max=len(self.known) - 1)
        if (wrong := self.known[numbers] != labels).any():
            found = labels[wrong.argmax()]
            raise DataError(
                f"The class {found.item()!r} of the column {self.column!r} in {chunk.where(int(wrong.argmax()))} is "
                f"not in the training set, which has {self._names()}: choose splits that have the same classes."
            )
        return torch.from_numpy(numbers.astype(np.int64))

    def _labels(self, chunk: Chunk) -> np.ndarray:
        array = chunk.whole(self.column)
        labels = np.array(array.to_pylist()) if self.names is None else array.to_numpy(zero_copy_only=False)
        if self.names is not None and len(labels) and labels.min() < 0:
            raise DataError(
                f"The column {self.column!r} hides its classes (-1) in {chunk.where(int(labels.argmin()))}, as sets "
                "for competitions do: choose another split, for example dataset.test_split=validation."
            )
        return labels

    def _name(self, label: np.generic) -> object:
        return self.names[label] if self.names is not None else label.item()

    def _names(self) -> str:
        return named(self.class_names[:MOST_NAMES])


class Values(Targets):
    """Numbers, one or several a row.

    Args:
        columns: their names.
        scaling: as for :class:`~hybridopt_huggingface.features.Numbers`; what is reported is in these units.
    """

    task = "regression"

    def __init__(self, columns: Sequence[str], scaling: str):
        self.columns, self.scaler = columns, scaler(scaling)

    def strata(self, rows: Rows) -> None:
        return None

    def fit(self, train: Rows) -> None:
        columns = [train.column(name).numbers_of(name) for name in self.columns]
        if shaped := [name for name, values in zip(self.columns, columns, strict=True) if values.ndim > 2]:
            raise DataError(
                f"Regression needs one row of targets per sample, but the column {shaped[0]!r} holds matrices."
            )
        values = np.column_stack(columns)
        if (values == values[:1]).all():
            raise DataError(
                f"Regression needs targets that vary, but {named(self.columns)} is the same in all {len(values)} rows: "
                "choose another target."
            )
        self.output_size = values.shape[1]
        if self.scaler is not None:
            self.scaler.fit(values)

    def preprocessing(self) -> dict[str, Any]:
        return {"columns": list(self.columns), **mean_and_scale(self.scaler)}

    def encode(self, chunk: Chunk) -> Tensor:
        values = np.column_stack([chunk.numbers_of(name) for name in self.columns])
        if values.shape[1] != self.output_size:
            raise DataError(
                f"The column {named(self.columns)} holds {values.shape[1]} targets in {chunk.where(0)}, but "
                f"{self.output_size} in the train set: bring them to one shape."
            )
        return torch.from_numpy((values if self.scaler is None else scaled(self.scaler, values)).astype(np.float32))


def targets_for(task: str, columns: Sequence[str], features: Features, train: Rows, scaling: str) -> Targets:
    """The targets that the columns hold.

    Args:
        task: "classification", "regression", or "auto" to tell by the columns' types.
        columns: the target columns.
        features: the types of all columns.
        train: rows to judge by, where the type does not tell.
        scaling: of values; "auto" standardises them.

    Raises:
        DataError: the columns cannot be that.
        ConfigError: they may be either.
    """
    for name in columns:
        if not set(possible_kinds(features[name])) & {"number", "category"}:
            usable = [other for other in features if {"number", "category"} & set(possible_kinds(features[other]))]
            raise DataError(
                f"The column {name!r} has the type {features[name]}, which can be no target: name another one in "
                f"dataset.target.{options(usable)}"
            )
    task = _guessed(columns, features, train) if task == "auto" else task
    if task == "regression":
        if text := [name for name in columns if "number" not in possible_kinds(features[name])]:
            raise DataError(
                f"Regression needs numbers, but the column {text[0]!r} holds {features[text[0]]}: choose another "
                "target, or take dataset.task=classification."
            )
        return Values(columns, "standardise" if scaling == "auto" else scaling)
    if len(columns) > 1 or "category" not in possible_kinds(features[columns[0]]):
        raise DataError(
            f"Classification needs one class per row, but dataset.target names {named(columns)} of the type "
            f"{features[columns[0]]}: name one column of classes, or take dataset.task=regression."
        )
    return Classes(columns[0], features[columns[0]])


def _guessed(columns: Sequence[str], features: Features, train: Rows) -> str:
    """What "auto" stands for, by the same rules as the data set ``arrays`` of hybridopt."""
    feature = features[columns[0]]
    if len(columns) > 1 or "category" not in possible_kinds(feature):
        return "regression"
    if isinstance(feature, ClassLabel) or "number" not in possible_kinds(feature) or feature.dtype == "bool":
        return "classification"
    return task_of_numbers(train.column(columns[0]).numbers_of(columns[0]), f"The column {columns[0]!r}")
