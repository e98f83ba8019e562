"""Small texts and checkpoints on disk, written once; the hub is not asked."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import datasets
import huggingface_hub.constants
import pytest
from hybridopt_transformers.examples import decoder_checkpoint, encoder_checkpoint, reviews

NOWHERE = "http://127.0.0.1:9"  # nobody listens on the discard port


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory, monkeypatch):
    """Nothing is read from the user's caches or from the hub, nor written there."""
    caches = tmp_path_factory.getbasetemp() / "caches"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(caches / "datasets"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(caches / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", NOWHERE)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", NOWHERE)


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> SimpleNamespace:
    """``path`` of 240 reviews of two classes, a BERT ``encoder`` and a GPT-2 ``decoder`` that know their words."""
    folder: Path = tmp_path_factory.mktemp("made")
    table = reviews(240)
    table.to_csv(folder / "reviews.csv", index=False)
    return SimpleNamespace(
        folder=folder,
        path=str(folder / "reviews.csv"),
        texts=table,
        encoder=encoder_checkpoint(folder / "encoder", table["text"]),
        decoder=decoder_checkpoint(folder / "decoder", table["text"]),
    )
