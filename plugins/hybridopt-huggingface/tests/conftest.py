"""A cache of our own, no hub, and the sets that most tests read."""

from __future__ import annotations

from pathlib import Path

import datasets
import huggingface_hub.constants
import numpy as np
import pytest
from datasets import DatasetDict
from hf_layouts import digits, image_set

CARD = """---
configs:
- config_name: CONFIG
  data_files:
  - {split: train, path: CONFIG/train-*}
  - {split: test, path: CONFIG/test-*}
---
"""
NOWHERE = "http://127.0.0.1:9"  # nobody listens on the discard port


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory, monkeypatch):
    """Nothing is read from the user's caches or from the hub, nor written there."""
    caches = tmp_path_factory.getbasetemp() / "caches"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(caches / "datasets"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(caches / "hub"))
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", NOWHERE)


@pytest.fixture(scope="session")
def mnist_sets():
    """500 training and 100 test digits, as a DatasetDict like MNIST's."""
    pixels, labels = digits()
    return DatasetDict(
        {"train": image_set(pixels[:500], labels[:500]), "test": image_set(pixels[500:600], labels[500:600])}
    )


@pytest.fixture(scope="session")
def mnist_folder(mnist_sets, tmp_path_factory) -> Path:
    """The same as parquet files named like the hub's."""
    folder = tmp_path_factory.mktemp("mnist")
    for name, part in mnist_sets.items():
        part.to_parquet(folder / f"{name}-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="session")
def cifar_folder(tmp_path_factory) -> Path:
    """120 training and 40 test pictures of 32x32 coloured pixels, in the columns of CIFAR-10."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("cifar")
    for name, count in (("train", 120), ("test", 40)):
        labels = np.arange(count) % 10
        pixels = rng.integers(0, 26, (count, 32, 32, 3)) + labels[:, None, None, None] * np.array([23, 11, 5])
        image_set(pixels.astype(np.uint8), labels, image="img").to_parquet(folder / f"{name}-00000-of-00001.parquet")
    return folder


@pytest.fixture(scope="session")
def hub(mnist_folder, cifar_folder) -> dict[str, dict[str, bytes]]:
    """Repositories in the layout of the real ones, for :func:`fake_hub.serving`."""
    real = {
        "ylecun/mnist": ("mnist", mnist_folder),
        "zalando-datasets/fashion_mnist": ("fashion_mnist", mnist_folder),
        "uoft-cs/cifar10": ("plain_text", cifar_folder),
    }
    return {
        repo: {f"{config}/{file.name}": file.read_bytes() for file in folder.iterdir()}
        | {"README.md": CARD.replace("CONFIG", config).encode()}
        for repo, (config, folder) in real.items()
    }
