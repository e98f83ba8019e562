"""A network that is kept as an MLflow model is loaded and used where hybridopt is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from jobs import LIMIT

from hybridopt import DataSpec
from hybridopt.composition import building, registry
from hybridopt.tracking.model import save_model

OURS = [name for name in registry.names("model") if registry.find("model", name).distribution == "hybridopt"]
SHAPES = {"cnn": (1, 8, 8), "rnn": (8, 8), "point_robot": (4,)}
ELSEWHERE = """
import json, sys, warnings
sys.modules["hybridopt"] = None  # whoever imports it fails
warnings.simplefilter("ignore")
import mlflow.pytorch, numpy
from mlflow.models import Model
for folder in sys.argv[1:]:
    inputs = Model.load(folder).load_input_example(folder)
    tensor = __import__("torch").as_tensor(numpy.asarray(inputs, dtype=numpy.float32))
    outputs = mlflow.pytorch.load_model(folder)(tensor)
    signature = Model.load(folder).signature
    print(json.dumps([outputs.detach().tolist(), signature.inputs.to_dict()[0]["tensor-spec"]["shape"]]))
"""


@pytest.mark.slow
def test_models_are_used_without_hybridopt(tmp_path: Path) -> None:
    """All of them by one process, since it is its imports that take long."""
    wanted, folders = {}, []
    for name in OURS:
        shape = SHAPES.get(name, (5,))
        torch.manual_seed(0)
        model = building.build("model", {"name": name}, spec=DataSpec(shape, 3, "classification"))
        sample = torch.randn(2, *shape)
        folder = save_model(model, sample, tmp_path / name)
        assert folder is not None, name
        folders.append(str(folder))
        wanted[name] = (model.eval()(sample), [-1, *shape])
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *folders], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(answers) == len(OURS)
    for (name, (outputs, shape)), (found, declared) in zip(wanted.items(), answers, strict=True):
        assert torch.allclose(torch.tensor(found), outputs, atol=1e-5), name
        assert declared == shape, name
