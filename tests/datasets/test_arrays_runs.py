"""Whole runs on the user's own data: tokens reach an embedding, and weights decide what is learned."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from fake_packages import install, on_path
from safetensors.torch import load_file
from torch import nn

from hybridopt import DataError, run

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


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """Kinds that are far apart, in columns of very different scales."""
    kind = np.arange(90) % 3
    random = np.random.default_rng(0)
    table = pd.DataFrame({"wing": 600 + 100 * kind + random.normal(size=90), "note": 1.0, "weight": 0.01 * kind})
    table.assign(kind=np.array(["wren", "ant", "None"])[kind]).to_csv(tmp_path / "birds.csv", index=False)
    return tmp_path / "birds.csv"


@pytest.mark.parametrize("weights", ["null", "balanced"])
def test_the_weights_that_a_run_leaves_tell_the_label_of_a_new_row(
    weights: str, birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what lies beside them alone, in the directory and in MLflow; the run may have been moved."""
    job = [f"dataset.path={birds}", "dataset.target=kind", f"dataset.class_weights={weights}", "model=linear"]
    store = ["tracking=mlflow", f"tracking.uri=sqlite:///{tmp_path / 'store.db'}"]
    done = run(
        *QUIET, *store, *job, "strategy=adam", "strategy.lr=0.1", "budget.forwards=2e4", directory=tmp_path / "run"
    )
    (tmp_path / "run").rename(tmp_path / "moved")
    text = (tmp_path / "moved/checkpoints/preprocessing.json").read_text()
    assert run(f"resume={tmp_path / 'moved'}").preprocessing == json.loads(text)
    network = nn.Linear(3, 3)
    tensors = load_file(tmp_path / "moved/checkpoints/weights.safetensors").values()
    network.load_state_dict({f"{'weight' if tensor.ndim == 2 else 'bias'}": tensor for tensor in tensors})
    assert told(network, json.loads(text)) == ["wren", "ant", "None"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store.db'}")
    mlflow.register_model(f"runs:/{done.run_id}/model", "birds")
    said = mlflow.artifacts.load_dict("models:/birds/1/preprocessing.json")
    assert said == json.loads(text) == mlflow.artifacts.load_dict(f"runs:/{done.run_id}/preprocessing.json")
    assert told(mlflow.pytorch.load_model("models:/birds/1"), said) == ["wren", "ant", "None"]


def told(network: nn.Module, said: dict) -> list[str]:
    rows = pd.DataFrame({"weight": [0.0, 0.01, 0.02], "wing": [600.0, 700.0, 800.0], "note": 1.0})
    inputs, targets = said["inputs"], said["targets"]
    scaled = (rows[inputs["columns"]] - inputs["mean"]) / inputs["scale"]
    outputs = network(torch.tensor(scaled.to_numpy(), dtype=getattr(torch, inputs["dtype"])))
    return [targets["classes"][number] for number in outputs.argmax(dim=1)]


OWN = """
import torch
from hybridopt import DataModule, DataSpec
from torch.utils.data import DataLoader, TensorDataset

class Own(DataModule):
    spec = DataSpec((2,), 2, "classification")

    def __init__(self, said: str = "plain"):
        super().__init__()
        self.said = said

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.randn(40, 2), torch.arange(40) % 2), batch_size=10)

    val_dataloader = test_dataloader = train_dataloader

    def preprocessing(self):
        return {"targets": {"classes": ["no", "yes"]}, "scale": 2.0 if self.said == "plain" else torch.ones(2)}
"""


def test_a_data_set_of_a_package_says_its_own(tmp_path: Path) -> None:
    install(tmp_path, "acme", OWN, dataset={"own": "Own"})
    job = ("dataset=own", "tracking=none", "trainer.enable_progress_bar=false", "budget.forwards=2e3", "strategy=adam")
    with on_path(tmp_path):
        done = run(*job, directory=tmp_path / "run")
        assert done.preprocessing == {"targets": {"classes": ["no", "yes"]}, "scale": 2.0}
        with pytest.raises(DataError, match=r"Own\.preprocessing\(\) returns .* JSON.*Tensor.*array\.tolist\(\)"):
            run(*job, "dataset.said=tensor", directory=tmp_path / "odd")
    assert not (tmp_path / "odd").exists()
    assert run("dataset=moons", *job[1:], directory=tmp_path / "plain").preprocessing["targets"] == {"classes": [0, 1]}
