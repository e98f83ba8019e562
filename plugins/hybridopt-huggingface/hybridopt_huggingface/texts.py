"""Texts as tokens, and as sequences of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer
from torch import Tensor
from torch.nn import functional as F

from hybridopt import DataError
from hybridopt.toolbox import ranges
from hybridopt_huggingface.columns import Chunk, Rows, named
from hybridopt_huggingface.inputs import Inputs

TOKEN = r"(?u)\w+|[^\w\s]"  # a word, or one sign
SEPARATOR = " \N{SYMBOL FOR RECORD SEPARATOR} "  # between the texts of several columns
SPECIAL = 2  # tokens before those of the vocabulary: 0 stands for nothing, 1 for what the training rows lack


def vectoriser(tokens: str, vocabulary: int) -> CountVectorizer:
    """Cuts text into words and signs, or characters, in lower case; knows the most frequent of the training rows."""
    ranges.at_least("dataset", 1, vocabulary=vocabulary)
    cut = {"words": {"token_pattern": TOKEN}, "characters": {"analyzer": "char"}}[tokens]
    return CountVectorizer(**cut, max_features=vocabulary)


def fitted(words: CountVectorizer, texts: Iterable[str], columns: Sequence[str]) -> int:
    """Fit a vectoriser to the training texts; the size of its vocabulary."""
    try:
        return len(words.fit(texts).vocabulary_)
    except ValueError as error:  # scikit-learn's word for: all texts are empty
        raise DataError(
            f"The column {named(columns)} holds no text in the training set: choose other inputs."
        ) from error


class Sequences(Inputs):
    """Texts as sequences of one-hot tokens (length, vocabulary and one for unknown tokens).

    Short texts are filled up with zeros in front, so that a recurrent network ends on the last word; of long ones the
    first tokens are kept.

    Args:
        columns: texts, joined by a separator.
        tokens: "words" or "characters".
        vocabulary: the number of tokens known, the most frequent of the training rows.
        length: tokens of a sample.
    """

    def __init__(self, columns: Sequence[str], tokens: str, vocabulary: int, length: int):
        ranges.at_least("dataset", 1, length=length)
        self.columns, self.length = columns, length
        self.words = vectoriser(tokens, vocabulary)

    def fit(self, train: Rows) -> None:
        known = fitted(self.words, (text for chunk in train.chunks() for text in self._texts(chunk)), self.columns)
        self.known = known
        self.dtype = np.uint8 if known + SPECIAL <= 256 else np.int32
        self.shape, self.sample_bytes = (self.length, known + 1), self.length * self.dtype().itemsize
        self.cut = self.words.build_analyzer()

    def encode(self, chunk: Chunk) -> Tensor:
        texts = self._texts(chunk)
        numbers, found = self.words.vocabulary_, np.zeros((len(texts), self.length), self.dtype)
        for row, text in zip(found, texts, strict=True):
            kept = [numbers.get(token, -1) + SPECIAL for token in self.cut(text)[: self.length]]
            row[self.length - len(kept) :] = kept
        return torch.from_numpy(found)

    def expand(self, compact: Tensor) -> Tensor:
        return F.one_hot(compact.long(), self.known + SPECIAL)[..., 1:].float()

    def _texts(self, chunk: Chunk) -> list[str]:
        return [SEPARATOR.join(texts) for texts in zip(*map(chunk.texts_of, self.columns), strict=True)]
