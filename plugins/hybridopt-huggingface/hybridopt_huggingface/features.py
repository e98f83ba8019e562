"""Numbers, categories and bags of words, side by side.

Each column is fitted by itself, a text chunk by chunk, so that no table need be in memory as a whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from torch import Tensor

from hybridopt import DataError
from hybridopt_huggingface.columns import Chunk, Rows
from hybridopt_huggingface.inputs import Inputs
from hybridopt_huggingface.texts import fitted, vectoriser

MOST_CATEGORIES = 1000


class Block(ABC):
    """What one column adds to a row of features."""

    column: str

    @abstractmethod
    def fit(self, train: Rows) -> tuple[int, ...]:
        """Learn from the training rows; the shape of what a row is encoded as."""

    @abstractmethod
    def encode(self, chunk: Chunk) -> np.ndarray:
        """Some rows (N, *shape)."""


class Numbers(Block):
    """Numbers, or arrays of equal shape.

    Args:
        column: its name.
        scaling: "standardise" for mean 0 and variance 1, "range" for [-1, 1] (each over the training rows; each channel
            of (C, H, W), each feature of all else), "none".
    """

    def __init__(self, column: str, scaling: str):
        self.column, self.scaler = column, scaler(scaling)

    def fit(self, train: Rows) -> tuple[int, ...]:
        values = train.column(self.column).numbers_of(self.column)
        if self.scaler is not None:
            self.scaler.fit(_features_last(values).reshape(-1, _features_last(values).shape[-1]))
        self.shape = values.shape[1:] or (1,)
        return self.shape

    def encode(self, chunk: Chunk) -> np.ndarray:
        values = chunk.numbers_of(self.column)
        values = values.reshape(len(values), -1) if values.ndim == 1 else values
        if values.shape[1:] != self.shape:
            raise DataError(
                f"The column {self.column!r} holds arrays of the shape {values.shape[1:]} in {chunk.where(0)}, but of "
                f"{self.shape} in the train set: bring them to one shape."
            )
        return values if self.scaler is None else scaled(self.scaler, values)


def scaler(scaling: str) -> StandardScaler | MinMaxScaler | None:
    """Scikit-learn's scaler of that name."""
    return {"standardise": StandardScaler(), "range": MinMaxScaler((-1, 1)), "none": None}[scaling]


def _features_last(values: np.ndarray) -> np.ndarray:
    """(N, ...) with what is scaled alike in the last dimension: channels of (N, C, H, W), features of all else."""
    return (
        np.moveaxis(values, 1, -1)
        if values.ndim == 4
        else values.reshape(len(values), -1)
        if values.ndim < 3
        else values
    )


def scaled(fit: StandardScaler | MinMaxScaler, values: np.ndarray) -> np.ndarray:
    """Values (N, ...) of the same shape, scaled."""
    last = _features_last(values)
    done = fit.transform(last.reshape(-1, last.shape[-1])).reshape(last.shape)
    return np.moveaxis(done, -1, 1) if values.ndim == 4 else done


def mean_and_scale(fit: StandardScaler | MinMaxScaler | None) -> dict[str, Any]:
    """What a scaler subtracts and divides by."""
    if fit is None:
        return {"mean": 0.0, "scale": 1.0}
    if isinstance(fit, StandardScaler):
        return {"mean": fit.mean_.tolist(), "scale": fit.scale_.tolist()}
    return {"mean": (-fit.min_ / fit.scale_).tolist(), "scale": (1 / fit.scale_).tolist()}


class Categories(Block):
    """One-hot categories: those of the training rows; another is all zeros.

    Args:
        column: its name.
    """

    def __init__(self, column: str):
        self.column, self.known = column, OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)

    def fit(self, train: Rows) -> tuple[int, ...]:
        self.known.fit(self._values(train.column(self.column)))
        count = len(self.known.categories_[0])
        if count > MOST_CATEGORIES:
            raise DataError(
                f"The column {self.column!r} has {count} different values in the training set, more than the "
                f"{MOST_CATEGORIES} that can be categories: leave it out with dataset.inputs, or read it otherwise "
                f"with dataset.kinds.{self.column}=text or number."
            )
        return (count,)

    def encode(self, chunk: Chunk) -> np.ndarray:
        return self.known.transform(self._values(chunk))

    def _values(self, chunk: Chunk) -> np.ndarray:
        return np.array(chunk.texts_of(self.column), dtype=object)[:, None]


class Bag(Block):
    """How often each token of the vocabulary stands in a text.

    Args:
        column: its name.
        tokens: "words" or "characters".
        vocabulary: the number of tokens known, the most frequent of the training rows.
    """

    def __init__(self, column: str, tokens: str, vocabulary: int):
        self.column, self.words = column, vectoriser(tokens, vocabulary)

    def fit(self, train: Rows) -> tuple[int, ...]:
        texts = (text for chunk in train.chunks() for text in chunk.texts_of(self.column))
        return (fitted(self.words, texts, [self.column]),)

    def encode(self, chunk: Chunk) -> np.ndarray:
        return self.words.transform(chunk.texts_of(self.column)).toarray()


class Table(Inputs):
    """Columns side by side: numbers, categories and bags of words; one array alone keeps its shape.

    Args:
        blocks: one for each column.
    """

    def __init__(self, blocks: Sequence[Block]):
        self.blocks = blocks

    def fit(self, train: Rows) -> None:
        shapes = [block.fit(train) for block in self.blocks]
        self.shape = shapes[0] if len(shapes) == 1 else (sum(int(np.prod(shape)) for shape in shapes),)
        self.sample_bytes = 4 * int(np.prod(self.shape))

    def encode(self, chunk: Chunk) -> Tensor:
        parts = [block.encode(chunk).astype(np.float32) for block in self.blocks]
        parts = parts if len(parts) == 1 else [part.reshape(len(part), -1) for part in parts]
        return torch.from_numpy(np.ascontiguousarray(np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]))
