"""Write scikit-learn's digits in the layout of MNIST: 28x28 grey PNG images in parquet, 1497 to train, 300 to test.

python scripts/make_digits.py digits28
hybridopt dataset=mnist dataset.path=digits28 model=cnn strategy=adam
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageColumn
from PIL import Image
from sklearn.datasets import load_digits

FEATURES = Features({"image": ImageColumn(), "label": ClassLabel(names=[str(digit) for digit in range(10)])})
TEST = 300


def write(path: Path, pixels: np.ndarray, labels: np.ndarray) -> None:
    """Images (N, H, W), bytes, and classes (N,), as one parquet file in the columns of MNIST."""
    files = [{"bytes": png(image), "path": None} for image in pixels]
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict({"image": files, "label": labels.tolist()}, features=FEATURES).to_parquet(path)


def png(image: np.ndarray) -> bytes:
    """(H, W) bytes as a file."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def main(folder: Path) -> None:
    pixels, labels = load_digits(return_X_y=True)
    small = (pixels.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    large = np.stack([np.asarray(Image.fromarray(image).resize((28, 28))) for image in small])
    order = np.random.default_rng(0).permutation(len(labels))
    for name, rows in {"train": order[:-TEST], "test": order[-TEST:]}.items():
        write(folder / f"{name}-00000-of-00001.parquet", large[rows], labels[rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
