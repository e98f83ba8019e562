"""From columns to inputs and targets: fitted on the training rows alone, kept small, made floats batch by batch.

An encoder has two halves. ``encode`` runs once for each row on the CPU and gives a compact tensor (bytes for pixels,
whole numbers for tokens); ``expand`` runs for each batch on the device and gives the floats that a model reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from torch import Tensor
from torch.nn import functional as F

from hybridopt.errors import ConfigError, DataError
from hybridopt_huggingface.columns import Chunk, Rows, named
from hybridopt_huggingface.source import reason

DEEP = ("I;16", "I;16B", "I;16L", "I;16N")  # PIL's words for pixels of 16 bits,
GREY = ("1", "L", "LA", "La", *DEEP)  # of one channel,
COLOUR = ("P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV", "LAB")  # and of several
BRIGHTEST = 255
ORIENTATION = 0x0112  # the EXIF tag that cameras write instead of turning the pixels
MOST_CATEGORIES = 1000
TOKEN = r"(?u)\w+|[^\w\s]"  # a word, or one sign
SEPARATOR = " \N{SYMBOL FOR RECORD SEPARATOR} "  # between the texts of several columns
SPECIAL = 2  # tokens before those of the vocabulary: 0 stands for nothing, 1 for what the training rows lack


class Inputs(ABC):
    """What a model reads of a row.

    Attributes:
        shape: of one sample, as floats; known after :meth:`fit`.
        sample_bytes: what one row takes in memory, compact.
    """

    shape: tuple[int, ...]
    sample_bytes: int

    @abstractmethod
    def fit(self, train: Rows) -> None:
        """Learn shapes, vocabularies and statistics from the training rows."""

    @abstractmethod
    def encode(self, chunk: Chunk) -> Tensor:
        """Some rows, compact: (N, ...)."""

    def calibrate(self, encoded: Iterable[Tensor]) -> None:  # noqa: B027
        """Learn what takes the encoded training rows; they come in parts."""

    def expand(self, compact: Tensor) -> Tensor:
        """Compact rows (B, ...) on any device as float32 (B, *shape)."""
        return compact


# -- images -----------------------------------------------------------------------------------------------------------


class Images(Inputs):
    """Images of one size as bytes (C, H, W).

    Args:
        column: holds encoded files (PNG, JPEG, ...) or their paths.
        size: (height, width) to resize to, bilinearly; None requires that all have the same.
        channels: 1 for shades of grey, 3 for colours; None requires that all have the same.
        scaling: "range" for [-1, 1], "standardise" for mean 0 and variance 1 of each channel over the training rows,
            "none" for [0, 255].
    """

    def __init__(self, column: str, size: Sequence[int] | None, channels: int | None, scaling: str):
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ConfigError(
                f"dataset.size must be [height,width] in pixels, but is {list(size)}: write for example [28,28]."
            )
        if channels not in (None, 1, 3):
            raise ConfigError(f"dataset.channels must be 1 (grey) or 3 (colours), or null, but is {channels}.")
        self.column, self.size, self.channels, self.scaling = column, size, channels, scaling

    def fit(self, train: Rows) -> None:
        chunk = train.chunk([0])
        pixels = self._pixels(self._files(chunk)[0], chunk, 0)
        self.shape, self.sample_bytes = pixels.shape, pixels.size
        depth = (self.shape[0], 1, 1)
        factor, shift = (2 / BRIGHTEST, -1.0) if self.scaling == "range" else (1.0, 0.0)
        self.factor, self.shift = torch.full(depth, factor), torch.full(depth, shift)

    def encode(self, chunk: Chunk) -> Tensor:
        found = np.empty((len(chunk.numbers), *self.shape), np.uint8)
        for index, file in enumerate(self._files(chunk)):
            pixels = self._pixels(file, chunk, index)
            if pixels.shape != self.shape:
                raise self._unequal(pixels.shape, chunk.where(index))
            found[index] = pixels
        return torch.from_numpy(found)

    def calibrate(self, encoded: Iterable[Tensor]) -> None:
        if self.scaling != "standardise":
            return
        count, total, squares = 0, np.zeros(self.shape[0]), np.zeros(self.shape[0])
        for part in encoded:
            shades = np.arange(BRIGHTEST + 1)
            for channel in range(self.shape[0]):  # a histogram is exact, whatever the number of rows
                counts = np.bincount(part[:, channel].reshape(-1).numpy(), minlength=len(shades))
                total[channel] += counts @ shades
                squares[channel] += counts @ shades**2
            count += part[:, 0].numel()
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
        deviation[deviation == 0] = 1.0  # a channel of one shade is only shifted
        self.factor = torch.tensor(1 / deviation, dtype=torch.float32)[:, None, None]
        self.shift = torch.tensor(-mean / deviation, dtype=torch.float32)[:, None, None]

    def expand(self, compact: Tensor) -> Tensor:
        return compact.float().mul_(self.factor.to(compact.device)).add_(self.shift.to(compact.device))

    def _files(self, chunk: Chunk) -> list[Any]:
        return chunk.whole(self.column).to_pylist()

    def _pixels(self, file: Any, chunk: Chunk, index: int) -> np.ndarray:
        """One image as bytes (C, H, W)."""
        content, path = (file.get("bytes"), file.get("path")) if isinstance(file, Mapping) else (file, None)
        if content is None and not (path and Path(path).is_file()):
            raise DataError(
                f"The column {self.column!r} has neither the bytes nor a local file of an image in {chunk.where(index)}"
                f"{f', but the path {path!r}' if path else ''}: store the images' bytes, or local files' paths."
            )
        try:
            with Image.open(path if content is None else BytesIO(content)) as opened:
                return self._converted(opened, chunk.where(index))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # PIL's words for a bad file
            why = "its format is not known" if isinstance(error, UnidentifiedImageError) else reason(error)
            raise DataError(
                f"The column {self.column!r} holds no readable image in {chunk.where(index)}"
                f"{f', {path}' if path else ''} ({why}): repair or drop it."
            ) from error

    def _converted(self, image: Image.Image, where: str) -> np.ndarray:
        channels = self.channels or (1 if image.mode in GREY else 3)
        if image.mode not in GREY + COLOUR:
            raise DataError(
                f"The image in {where} has pixels of the type {image.mode!r} (PIL's word), which are no shades of 8 or "
                "16 bits: write it as an 8-bit PNG."
            )
        if image.getexif().get(ORIENTATION):
            image = ImageOps.exif_transpose(image)
        if image.mode in DEEP:
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        mode = "L" if channels == 1 else "RGB"
        image = image if image.mode == mode else image.convert(mode)
        if self.size is not None and image.size != (self.size[1], self.size[0]):
            image = image.resize((self.size[1], self.size[0]), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
        return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)

    def _unequal(self, shape: tuple[int, ...], where: str) -> DataError:
        first, other = (f"{h}x{w} pixels and {c} channel{'s' * (c > 1)}" for c, h, w in (self.shape, shape))
        fixes = []
        if shape[1:] != self.shape[1:]:
            fixes.append(f"dataset.size=[{self.shape[1]},{self.shape[2]}]")
        if shape[0] != self.shape[0]:
            fixes.append("dataset.channels=1 or dataset.channels=3")
        return DataError(
            f"The images of the column {self.column!r} must all have the same shape, but the first has {first}, and "
            f"the one in {where} has {other}: type {' and '.join(fixes)}."
        )


# -- text -------------------------------------------------------------------------------------------------------------


def vectoriser(tokens: str, vocabulary: int) -> CountVectorizer:
    """Cuts text into words and signs, or characters, in lower case; knows the most frequent of the training rows."""
    if vocabulary < 1:
        raise ConfigError(f"dataset.vocabulary must be at least 1 token, but is {vocabulary}: write for example 1000.")
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
        if length < 1:
            raise ConfigError(f"dataset.length must be at least 1 token, but is {length}: write for example 64.")
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


# -- features ---------------------------------------------------------------------------------------------------------


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


def inputs_for(
    kinds: Mapping[str, str],
    scaling: str,
    size: Sequence[int] | None,
    channels: int | None,
    text: str,
    tokens: str,
    vocabulary: int,
    length: int,
) -> Inputs:
    """The encoder for columns of these kinds; the settings are those of the data set ``huggingface``.

    Raises:
        ConfigError: the kinds do not go together, or a setting is out of range.
    """
    columns, found = list(kinds), set(kinds.values())
    if "image" in found:
        _refuse_company(kinds, "image", "an image is read alone", "")
        return Images(columns[0], size, channels, "range" if scaling == "auto" else scaling)
    if "text" in found and text == "sequence":
        _refuse_company(kinds, "text", "a text that is read as a sequence is read alone", ", or take dataset.text=bag")
        return Sequences(columns, tokens, vocabulary, length)
    scaling = "standardise" if scaling == "auto" else scaling
    blocks: dict[str, Callable[[str], Block]] = {
        "number": lambda column: Numbers(column, scaling),
        "category": Categories,
        "text": lambda column: Bag(column, tokens, vocabulary),
    }
    return Table([blocks[kind](column) for column, kind in kinds.items()])


def _refuse_company(kinds: Mapping[str, str], kind: str, why: str, otherwise: str) -> None:
    others = [name for name, other in kinds.items() if other != kind]
    same = [name for name in kinds if name not in others]
    if others or (kind == "image" and len(same) > 1):
        raise ConfigError(
            f"dataset.inputs has {named(same)} ({kind}){f' beside {named(others)}' if others else ''}, but {why}: type "
            f"dataset.inputs={same[0]}{otherwise}."
        )
