"""Texts as a tokeniser's numbers, all of one length, with a mask that says what is text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from string import Formatter

import numpy as np
import torch
from hybridopt_huggingface.columns import Chunk, Rows
from hybridopt_huggingface.inputs import Inputs
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from hybridopt import ConfigError, DataError
from hybridopt.toolbox import ranges
from hybridopt_transformers.checkpoints import padding_of

NOTHING = -1  # stands where a text has ended
FLOATS = 2**10  # that a network takes for each token of a held-out batch, or so


class Tokens(Inputs):
    """Texts, or pairs of them, as tokens: compact (N, k, L), k being 2 where there are types of tokens.

    Short texts are filled up on the right. Of long ones the end is cut off, or, where a template ends with words of its
    own, the beginning, so that the prompt stays.

    Args:
        tokeniser: a checkpoint's own.
        columns: of texts; two without a template are a pair.
        template: a text with ``{column}`` in it, or None.
        length: tokens of a sample at most.
        special_tokens: whether the tokeniser adds those that begin, separate and end texts.
    """

    def __init__(
        self,
        tokeniser: PreTrainedTokenizerBase,
        columns: Sequence[str],
        template: str | None,
        length: int,
        special_tokens: bool,
    ):
        ranges.at_least("dataset", 1, length=length)
        self.tokeniser, self.columns, self.template = tokeniser, columns, template
        self.most, self.special_tokens = min(length, tokeniser.model_max_length), special_tokens
        self.padding = padding_of(tokeniser)
        if template is not None and not template.endswith("}"):
            tokeniser.truncation_side = "left"
        self.typed = template is None and len(columns) == 2 and "token_type_ids" in tokeniser.model_input_names

    def measure(self, sets: Iterable[Rows]) -> None:
        """Find the longest text of all sets, to whose length the others are filled up."""
        lengths = [len(row) for rows in sets for chunk in rows.chunks() for row in self._read(chunk)["input_ids"]]
        names = ("input_ids", "attention_mask", *(["token_type_ids"] if self.typed else []))
        self.length = max(lengths)
        self.shape = dict.fromkeys(names, (self.length,))
        self.sample_bytes = 4 * self.length * (1 + self.typed)

    def fit(self, train: Rows) -> None:
        """A tokeniser has learned elsewhere; nothing is learned here."""

    def encode(self, chunk: Chunk) -> Tensor:
        read = self._read(chunk)
        found = np.full((len(chunk.numbers), 1 + self.typed, self.length), NOTHING, np.int32)
        for place, name in enumerate(["input_ids", *(["token_type_ids"] if self.typed else [])]):
            for row, values in zip(found[:, place], read[name], strict=True):
                row[: len(values)] = values
        return torch.from_numpy(found)

    def expand(self, compact: Tensor) -> dict[str, Tensor]:
        numbers = compact.long()
        there = numbers[:, 0] != NOTHING
        inputs = {"input_ids": torch.where(there, numbers[:, 0], self.padding), "attention_mask": there.long()}
        return inputs | ({"token_type_ids": numbers[:, 1].clamp(min=0)} if self.typed else {})

    @property
    def values(self) -> int:
        return FLOATS * self.length

    def _read(self, chunk: Chunk) -> Mapping[str, list[list[int]]]:
        columns = {name: chunk.texts_of(name) for name in self.columns}
        texts = list(columns.values())
        if self.template is not None:
            rows = zip(*texts, strict=True)
            texts = [[self.template.format(**dict(zip(columns, row, strict=True))) for row in rows]]
        read = self.tokeniser(
            *texts,
            truncation=True,
            max_length=self.most,
            add_special_tokens=self.special_tokens,
            return_token_type_ids=self.typed,
            return_attention_mask=False,
            verbose=False,
        )
        empty = [index for index, row in enumerate(read["input_ids"]) if not row]
        if empty:
            raise DataError(f"The text in {chunk.where(empty[0])} has no token: fill it in, or drop that row.")
        return read


def fields_of(template: str) -> list[str]:
    """The columns that a template names, each once.

    Raises:
        ConfigError: it names none, or is no template.
    """
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError:
        parts = []
    names = list(dict.fromkeys(name for _, name, _, _ in parts if name is not None))
    if not names or any(form or change or not name or set(name) & set(".[") for _, name, form, change in parts):
        raise ConfigError(
            f"dataset.template must be a text that names columns in braces, but is {template!r}: write for example "
            "'dataset.template=\"{sentence} It was\"'."
        )
    return names
