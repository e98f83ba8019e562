"""What is validated, tested and kept is the network that was trained, with the statistics that belong to it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from test_trial import SPEC, trainer, trial
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from hybridopt import Budget, TensorDataModule, Trial
from hybridopt.core.objective import Batch
from hybridopt.objectives.cross_entropy import CrossEntropy


def shifted(samples: int, seed: int) -> Batch:
    """Raw inputs, far from mean 0 and variance 1."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, 4, generator=generator)
    return 400 + 30 * inputs, inputs[:, :3].argmax(1)


def data(batch_size: int | None = 30) -> TensorDataModule:
    return TensorDataModule(shifted(90, 0), shifted(60, 1), shifted(60, 2), SPEC, batch_size)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def made(
    strategy: str, forwards: float = 2e4, statistics: bool = True, precision: str = "float32", **settings: object
) -> Trial:
    other = trial(strategy, **settings)
    budget = Budget(forwards=forwards, marks=4)
    engine = {"batch_statistics": statistics, "precision": precision}
    return Trial(network(), CrossEntropy(), other.strategy, budget, **engine)


class StopAtMark(Callback):
    """Saves at the second mark, as the checkpoints of a run do, and stops there."""

    def __init__(self, path: Path):
        self.path = path

    def on_validation_end(self, trainer: Trainer, trial: Trial) -> None:
        if len(trial.curve) == 2:
            trainer.save_checkpoint(self.path, weights_only=False)
            trainer.should_stop = True


@pytest.mark.parametrize("strategy", ["openai_es", "snes"])
def test_a_search_by_batch_statistics_is_kept_with_statistics_of_its_own(strategy: str, tmp_path: Path) -> None:
    ours = made(strategy, forwards=2e5)
    fit = trainer(tmp_path)
    fit.fit(ours, datamodule=data())
    fit.test(ours, datamodule=data(), verbose=False)
    assert ours.tested["test/loss"] < 1.0  # 1.1 is what knows nothing, and mean 0 and variance 1 give hundreds
    assert ours.curve[-1][1]["val/loss"] < 1.0
    inputs, _ = data().sets["train"]
    assert torch.allclose(ours.model[0].running_mean, inputs.mean(0), rtol=0.01)


def test_the_estimate_is_charged(tmp_path: Path) -> None:
    costs = []
    for batch_statistics in (False, True):
        ours = made("random_search", statistics=batch_statistics)
        trainer(tmp_path).fit(ours, datamodule=data())
        costs.append((ours.ledger.forwards, ours.ledger.evaluations, len(ours.curve)))
    (plain, _, _), (charged, evaluations, marks) = costs
    assert charged - 30 * evaluations == 90 * marks  # an epoch of 90 samples for each recommendation
    assert plain % 30 == 0


@pytest.mark.parametrize(
    ("strategy", "precision"), [("ema", "float32"), ("openai_es", "float32"), ("openai_es", "bf16")]
)
def test_a_run_goes_on_with_the_statistics_that_it_had(strategy: str, precision: str, tmp_path: Path) -> None:
    whole, stopped, resumed = (made(strategy, precision=precision) for _ in range(3))
    trainer(tmp_path).fit(whole, datamodule=data())
    trainer(tmp_path, StopAtMark(tmp_path / "last.ckpt")).fit(stopped, datamodule=data())
    trainer(tmp_path).fit(resumed, datamodule=data(), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert resumed.curve == whole.curve
    assert resumed.ledger.forwards == whole.ledger.forwards
    for one, other in zip(resumed.model.state_dict().values(), whole.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_mean_of_networks_gets_statistics_and_training_keeps_its_own(tmp_path: Path) -> None:
    plain, averaged = made("adam", statistics=False), made("ema", statistics=False)
    trainer(tmp_path).fit(plain, datamodule=data())
    trainer(tmp_path).fit(averaged, datamodule=data())
    inputs, _ = data().sets["train"]
    assert torch.allclose(averaged.model[0].running_mean, inputs.mean(0), rtol=1e-3)  # an epoch's, estimated
    assert not torch.equal(averaged.model[2].running_mean, plain.model[2].running_mean)


def test_statistics_that_nobody_learns_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hybridopt"):
        trainer(tmp_path).fit(made("openai_es", statistics=False), datamodule=data())
        assert [record.getMessage() for record in caplog.records] == [
            "Nobody learns the running statistics of 0, 2, by which the network is validated and tested: add "
            "oracle.batch_statistics=true, by which they are estimated for what is recommended, or take a model "
            "without batch normalisation."
        ]
        caplog.clear()
        trainer(tmp_path).fit(made("adam", statistics=False), datamodule=data())
        trainer(tmp_path).fit(made("openai_es"), datamodule=data())
    assert not caplog.records


def test_a_last_batch_of_one_sample(tmp_path: Path) -> None:
    def loader(batch: Batch) -> DataLoader:
        return DataLoader(TensorDataset(*batch), batch_size=30)

    for strategy in ("adam", "openai_es"):
        ours = made(strategy, popsize=10) if strategy == "openai_es" else made(strategy)
        trainer(tmp_path).fit(ours, loader(shifted(91, 0)), loader(shifted(31, 1)))
        assert all(torch.isfinite(value).all() for value in ours.model.state_dict().values())
