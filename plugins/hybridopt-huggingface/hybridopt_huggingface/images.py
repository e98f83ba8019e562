"""Images of one size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from hybridopt import ConfigError, DataError
from hybridopt_huggingface.columns import Chunk, Rows
from hybridopt_huggingface.inputs import Inputs
from hybridopt_huggingface.source import reason

DEEP = ("I;16", "I;16B", "I;16L", "I;16N")  # PIL's words for pixels of 16 bits,
GREY = ("1", "L", "LA", "La", *DEEP)  # of one channel,
COLOUR = ("P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV", "LAB")  # and of several
BRIGHTEST = 255
ORIENTATION = 0x0112  # the EXIF tag that cameras write instead of turning the pixels


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

    def preprocessing(self) -> dict[str, Any]:
        """Of pixels from 0 to 255, channels first."""
        mean, scale = -self.shift.double() / self.factor.double(), 1 / self.factor.double()
        return {"columns": [self.column], "dtype": "float32", "mean": mean.tolist(), "scale": scale.tolist()}

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
