"""The cosine of steps and the gradient, as a run logs it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.loggers.logger import DummyLogger

from hybridopt import Budget, Trial
from hybridopt.callbacks.alignment import Alignment
from hybridopt.composition import building
from hybridopt.datasets.digits import digits
from hybridopt.errors import ConfigError


class Memory(DummyLogger):
    """A logger that remembers the alignment."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.seen += [(step, value) for name, value in metrics.items() if name == "train/alignment"]


def trainer(callback: Alignment, logger: Memory | bool = False) -> Trainer:
    quiet = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(**(Trial.trainer_settings | quiet | {"callbacks": [callback], "logger": logger}))


def cosines(strategy: dict[str, object], every: int = 1, forwards: float = 40_000) -> list[tuple[int, float]]:
    """What a run logs: forwards, and the cosine."""
    memory = Memory()
    torch.manual_seed(0)
    data = digits(batch_size=64)
    data.setup("fit")
    model = building.build("model", {"name": "linear"}, spec=data.spec)
    objective = building.build("objective", {"name": "cross_entropy"})
    trial = Trial(model, objective, building.build("strategy", strategy), Budget(forwards=forwards, marks=1))
    trainer(Alignment(every), logger=memory).fit(trial, datamodule=data)
    return memory.seen


def test_gradient_descent_is_perfectly_aligned() -> None:
    found = cosines({"name": "sgd", "momentum": 0.0})
    assert len(found) > 50
    assert min(value for _, value in found) > 0.999


@pytest.mark.parametrize("samples", [4, 64])
def test_estimates_obey_the_law_of_random_directions(samples: int) -> None:
    """cos = sqrt(n / (n + d)), here for directions whose slopes are exact."""
    d = 650
    found = cosines({"name": "forward_gradient", "samples": samples}, forwards=40 * 2 * 64 * samples)
    mean = sum(value for _, value in found) / len(found)
    assert mean == pytest.approx(math.sqrt(samples / (samples + d)), rel=0.25)


def test_it_measures_every_so_many_steps_and_charges_nothing() -> None:
    each, some = (cosines({"name": "openai_es"}, every, forwards=640_000) for every in (1, 10))
    assert len(each) == 100
    assert len(some) == 10
    assert [step for step, _ in each][::10] == [step for step, _ in some]
    assert each[::10] == some


def test_a_loss_without_a_gradient_is_refused() -> None:
    data = digits()
    data.setup("fit")
    model = building.build("model", {"name": "linear"}, spec=data.spec)
    parts = building.build("objective", {"name": "zero_one"}), building.build("strategy", {"name": "openai_es"})
    trial = Trial(model, *parts, Budget(forwards=1e5))
    with pytest.raises(ConfigError, match="compares steps with the gradient, and ZeroOne has none"):
        trainer(Alignment()).fit(trial, datamodule=data)


def test_users_add_it_by_name(hybridopt, tmp_path: Path) -> None:
    done = hybridopt("strategy=openai_es", "budget.forwards=3e5", "+trainer.callbacks.alignment={every: 5}")
    assert done.returncode == 0, done.stderr
    journal = next(tmp_path.glob("outputs/*/*/journal.jsonl"))
    names = {name for line in journal.read_text().splitlines() for name in json.loads(line).get("values", {})}
    assert "train/alignment" in names
