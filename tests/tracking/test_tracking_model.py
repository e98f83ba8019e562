"""A network that is kept as an MLflow model is loaded and used where hybridopt is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hybridopt import DataSpec, registry
from hybridopt.tracking.model import save_model

OURS = [name for name in registry.names("model") if registry.find("model", name).distribution == "hybridopt"]
SHAPES = {"cnn": (1, 8, 8), "rnn": (8, 8)}
ELSEWHERE = """
import json, sys, warnings
sys.modules["hybridopt"] = None  # whoever imports it fails
warnings.simplefilter("ignore")
import mlflow.pytorch, numpy
from mlflow.models import Model
folder = sys.argv[1]
inputs = Model.load(folder).load_input_example(folder)
outputs = mlflow.pytorch.load_model(folder)(__import__("torch").as_tensor(numpy.asarray(inputs, dtype=numpy.float32)))
signature = Model.load(folder).signature
print(json.dumps([outputs.detach().tolist(), signature.inputs.to_dict()[0]["tensor-spec"]["shape"]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_a_model_is_used_without_hybridopt(name: str, tmp_path: Path) -> None:
    shape = SHAPES.get(name, (5,))
    torch.manual_seed(0)
    model = registry.build("model", {"name": name}, spec=DataSpec(shape, 3, "classification"))
    sample = torch.randn(2, *shape)
    folder = save_model(model, sample, tmp_path / "model")
    assert folder is not None
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(folder)], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outputs, wanted = json.loads(done.stdout.splitlines()[-1])
    assert torch.allclose(torch.tensor(outputs), model.eval()(sample), atol=1e-5)
    assert wanted == [-1, *shape]
