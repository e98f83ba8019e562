"""Whole runs on the user's own data: tokens reach an embedding, and weights decide what is learned."""

import numpy as np
import pandas as pd
import pytest
from fake_packages import install, on_path

from hybridopt import run

QUIET = (
    "dataset=arrays",
    "tracking=none",
    "trainer.enable_progress_bar=false",
    "budget.marks=2",
    "dataset.batch_size=64",
)
EMBEDDING = """
from torch import nn

def embedding(spec, words: int = 30, width: int = 4):
    (length,) = spec.input_shape
    return nn.Sequential(nn.Embedding(words, width), nn.Flatten(), nn.Linear(width * length, spec.output_size))
"""


@pytest.mark.parametrize(("strategy", "forwards"), [("adam", 2e5), ("openai_es", 5e5)])
def test_tokens_are_learned_through_an_embedding(strategy, forwards, tmp_path):
    install(tmp_path, "acme", EMBEDDING, model={"embedding": "embedding"})
    target = np.arange(300) % 3
    tokens = np.random.default_rng(0).integers(0, 6, (300, 10)) + 6 * target[:, None]
    np.savez(tmp_path / "tokens.npz", inputs=tokens, target=target)
    data = [f"dataset.path={tmp_path / 'tokens.npz'}", "dataset.dtype=int64"]
    with on_path(tmp_path):
        job = [*data, "model=embedding", f"strategy={strategy}", f"budget.forwards={forwards}"]
        summary = run(*QUIET, *job, directory=tmp_path / "run").summary
    assert summary["test/accuracy"] > 0.95


@pytest.mark.parametrize(("strategy", "forwards"), [("adam", 1e5), ("openai_es", 1e6)])
def test_balanced_classes_are_all_learned(strategy, forwards, tmp_path):
    """Two overlapping classes, one of ten samples of the other: unweighted, nearly nothing is called the rare one."""
    rng = np.random.default_rng(0)
    rare = np.arange(1100) % 11 == 0
    table = pd.DataFrame({"a": rng.normal(rare), "target": np.where(rare, "rare", "often")})
    table.to_csv(tmp_path / "data.csv", index=False)
    found = {}
    for weights in ("null", "balanced"):
        job = [f"dataset.path={tmp_path / 'data.csv'}", f"dataset.class_weights={weights}", "model=linear"]
        budget = [f"budget.forwards={forwards}", f"strategy={strategy}", "strategy.lr=0.05"]
        found[weights] = run(*QUIET, *job, *budget, directory=tmp_path / weights).summary
    assert found["null"]["test/accuracy"] > 0.88  # those of the frequent class
    assert found["balanced"]["test/accuracy"] < 0.8  # about Φ(1/2) of each class
    assert found["balanced"]["test/f1"] > found["null"]["test/f1"]  # the mean over the classes
