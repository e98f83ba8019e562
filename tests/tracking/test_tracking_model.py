"""A network that is kept as an MLflow model is loaded elsewhere, as what the model says, and can be registered."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from jobs import LIMIT, SMALL
from torch import nn

from hybridopt import DataSpec, run
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
def test_exported_models_are_used_without_hybridopt(tmp_path: Path) -> None:
    """All of them by one process, since it is its imports that take long."""
    wanted, folders = {}, []
    for name in OURS:
        shape = SHAPES.get(name, (5,))
        torch.manual_seed(0)
        model = building.build("model", {"name": name}, spec=DataSpec(shape, 3, "classification"))
        sample = torch.randn(2, *shape)
        assert save_model(model, sample, tmp_path / name, "graph") == "an exported graph", name
        folders.append(str(tmp_path / name))
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


OWN = """
import home_layers
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = home_layers.Layer()

    def forward(self, inputs):
        return self.layer(inputs["a"]) + inputs["b"]
"""
LAYERS = """
from torch import nn

class Layer(nn.Linear):
    def __init__(self):
        super().__init__(3, 2)
"""
LOADED = """
import sys, mlflow.pytorch
from pathlib import Path
model = mlflow.pytorch.load_model(sys.argv[1])
print(type(model).__name__, type(model.layer).__name__, Path(sys.modules["home_layers"].__file__).parent)
"""


def test_a_class_of_a_file_is_loaded_where_that_file_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "home_nets.py").write_text(OWN)
    (home / "home_layers.py").write_text(LAYERS)
    monkeypatch.syspath_prepend(home)
    for name in ("home_layers", "home_nets"):
        monkeypatch.setitem(sys.modules, name, importlib.import_module(name))
    model = sys.modules["home_nets"].Net().train()
    sample = {"a": torch.randn(2, 3), "b": torch.randn(2, 2)}
    assert save_model(model, sample, tmp_path / "model") == "the class home_nets.Net"
    assert model.training
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADED, "model"], cwd=tmp_path, capture_output=True, text=True,
        timeout=LIMIT, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["Net", "Layer", str(tmp_path / "model" / "code")]


class Branching(nn.Linear):
    """Another program could import it, but not export it."""

    def forward(self, inputs):
        return super().forward(inputs if inputs.sum() > 0 else -inputs)


def test_what_has_no_name_elsewhere_is_exported_and_what_cannot_be_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Nameless(nn.Linear):
        pass

    class Hopeless(Branching):
        pass

    sample = torch.randn(2, 3)
    assert save_model(Branching(3, 2), sample, tmp_path / "a") == f"the class {__name__}.Branching"
    assert save_model(Nameless(3, 2), sample, tmp_path / "b") == "an exported graph"
    assert save_model(Hopeless(3, 2), sample, tmp_path / "b") is None
    graph, again, nothing = [text for logger, _, text in caplog.record_tuples if logger == "hybridopt.tracking.model"]
    assert graph.startswith("The model is kept as an exported graph, since it cannot be kept as a class (")
    assert "Nameless cannot be imported by another program" in graph
    assert "Hopeless" in again
    assert nothing.startswith("The model is kept in the checkpoint and as weights only, since it cannot be kept as a ")
    assert (tmp_path / "b" / "MLmodel").exists()  # that of the former run of the same name
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("a", "b")] == []


def test_a_run_leaves_a_logged_model_that_can_be_registered(uri: str, tmp_path: Path) -> None:
    import mlflow

    from hybridopt.tracking.logged_models import log_model

    job = [*(setting for setting in SMALL if not setting.startswith("tracking")), "trainer.enable_progress_bar=false"]
    done = run(*job, "strategy=adam", "budget.forwards=2e3", f"tracking.uri={uri}", directory=tmp_path / "run")
    client = mlflow.MlflowClient(uri)
    log_model(client, done.run_id, tmp_path / "run" / "model")  # as after a kill before it was noted
    found = client.search_logged_models([client.get_run(done.run_id).info.experiment_id])
    model = found.to_list()[0]
    assert len(found) == len(client.get_run(done.run_id).outputs.model_outputs) == 1
    assert (model.name, model.status, model.source_run_id) == ("model", "READY", done.run_id)
    assert {metric.key: metric.value for metric in model.metrics} == pytest.approx(
        {name: value for name, value in done.metrics.items() if name.startswith("test/")}
    )
    assert model.params["strategy.name"] == "adam"
    assert model.tags["hybridopt.format"].startswith("the class torch.nn")
    mlflow.set_tracking_uri(uri)
    try:
        version = mlflow.register_model(f"runs:/{done.run_id}/model", "best")
        loaded = mlflow.pytorch.load_model(f"models:/best/{version.version}")
    finally:
        mlflow.set_tracking_uri(None)
    assert type(loaded) is type(done.module)
    assert not loaded.training
    for one, other in zip(loaded.parameters(), done.module.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_server_without_logged_models_gets_artifacts(tmp_path: Path) -> None:
    from mlflow.exceptions import RestException

    from hybridopt.tracking.logged_models import log_model

    class Old:
        """The client of a server of MLflow 2."""

        sent = ()

        def get_run(self, run_id):
            from mlflow.entities import Run, RunData, RunInfo

            return Run(RunInfo(run_id, "0", "me", "RUNNING", 0, None, "active"), RunData())

        def search_logged_models(self, *args, **kwargs):
            raise RestException({"error_code": "ENDPOINT_NOT_FOUND", "message": "No API found"})

        def log_artifact(self, *what):
            self.sent += what

    assert (
        save_model(nn.Linear(3, 2), torch.randn(2, 3), tmp_path / "model") == "the class torch.nn.modules.linear.Linear"
    )
    client = Old()
    log_model(client, "some", tmp_path / "model")
    assert client.sent == ("some", str(tmp_path / "model"))
