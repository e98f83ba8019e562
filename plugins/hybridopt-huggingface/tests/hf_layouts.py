"""Data sets in the layouts of the real ones, made on the spot, and how a data set is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as Picture
from sklearn.datasets import load_digits

from hybridopt import HybridoptError
from hybridopt.composition.building import build

SETS = ("train", "val", "test")


def encoded(pixels, kind="PNG"):
    """An image file's bytes, from (H, W) or (H, W, 3) bytes."""
    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def digits(side=28):
    """Scikit-learn's digits as (N, side, side) bytes, shuffled, and their classes (N,)."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    small = (pixels[order].reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    large = [np.asarray(Picture.fromarray(image).resize((side, side), Picture.Resampling.BILINEAR)) for image in small]
    return np.stack(large), labels[order]


def image_set(pixels, labels, image="image", label="label"):
    """A Dataset in the layout of MNIST: PNG bytes in a struct column, and a ClassLabel."""
    features = Features({image: Image(), label: ClassLabel(names=[str(number) for number in range(10)])})
    files = [{"bytes": encoded(picture), "path": None} for picture in pixels]
    return Dataset.from_dict({image: files, label: [int(value) for value in labels]}, features=features)


def whole(module, name):
    """All of a held-out set, or the first batch of the training set (everything, where batch_size is None)."""
    loader = getattr(module, f"{name}_dataloader")()
    if name == "train":
        return next(iter(loader))
    return tuple(torch.cat(parts) for parts in zip(*loader, strict=True))


def refused(says, name="huggingface", **settings):
    """Check that the data set is refused, in one line that matches; return the error."""
    with pytest.raises(HybridoptError, match=says) as caught:
        build("dataset", {"name": name, **{key: str(v) if key == "path" else v for key, v in settings.items()}})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 900
    return caught.value
