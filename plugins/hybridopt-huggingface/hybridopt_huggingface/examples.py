"""Small files of each kind, on which the conformance kit tries the data set ``huggingface``."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits, load_iris

ROWS = 300


def examples(folder: Path) -> list[dict[str, Any]]:
    """Write flowers as a table, digits as images and number words as texts; the settings that read them.

    Args:
        folder: is written to.
    """
    flowers = load_iris(as_frame=True).frame.drop_duplicates().rename(columns={"target": "label"})
    flowers.to_csv(folder / "flowers.csv", index=False)
    pixels, labels = load_digits(return_X_y=True)
    pictures = [{"bytes": _png(image), "path": None} for image in pixels[:ROWS].reshape(-1, 8, 8)]
    pd.DataFrame({"image": pictures, "label": labels[:ROWS]}).to_parquet(folder / "digits.parquet")
    words = [" ".join(f"w{number}" for number in (row, row // 7, row % 11)) for row in range(ROWS)]
    pd.DataFrame({"text": words, "label": [row % 2 for row in range(ROWS)]}).to_json(
        folder / "texts.jsonl", orient="records", lines=True
    )
    return [
        {"path": str(folder / "flowers.csv"), "batch_size": 32},
        {"path": str(folder / "flowers.csv"), "target": "petal width (cm)"},
        {"path": str(folder / "digits.parquet"), "batch_size": 32},
        {"path": str(folder / "texts.jsonl"), "text": "sequence", "length": 8, "batch_size": 32},
    ]


def _png(image: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray((image * 255 / 16).astype("uint8")).save(buffer, "PNG")
    return buffer.getvalue()
