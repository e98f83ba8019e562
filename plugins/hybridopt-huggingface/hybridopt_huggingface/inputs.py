"""What a model reads of a row: encoded once, kept small, made floats batch by batch.

An encoder has two halves. ``encode`` runs once for each row on the CPU and gives a compact tensor (bytes for pixels,
whole numbers for tokens); ``expand`` runs for each batch on the device and gives what a model reads: floats, or a
tree of tensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from math import prod
from typing import Any

from torch import Tensor

from hybridopt_huggingface.columns import Chunk, Rows


class Inputs(ABC):
    """What a model reads of a row.

    Attributes:
        shape: of one sample as a model reads it, a tuple or a tree of tuples; known after :meth:`fit`.
        sample_bytes: what one row takes in memory, compact.
    """

    shape: Any
    sample_bytes: int

    @abstractmethod
    def fit(self, train: Rows) -> None:
        """Learn shapes, vocabularies and statistics from the training rows."""

    @abstractmethod
    def encode(self, chunk: Chunk) -> Tensor:
        """Some rows, compact: (N, ...)."""

    def calibrate(self, encoded: Iterable[Tensor]) -> None:  # noqa: B027 (most have nothing to learn here)
        """Learn what takes the encoded training rows; they come in parts."""

    def preprocessing(self) -> dict[str, Any]:
        """What takes a raw sample to what a model reads, where numbers say it; known after :meth:`calibrate`."""
        return {}

    def expand(self, compact: Tensor) -> Any:
        """Compact rows (B, ...) on any device as float32 (B, *shape), or as a tree of tensors."""
        return compact

    @property
    def values(self) -> int:
        """What a sample takes in a held-out batch, in floats, by which such batches are kept small."""
        return prod(self.shape)
