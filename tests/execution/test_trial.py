"""A Trial in a script of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.loggers import CSVLogger
from torch import nn

from hybridopt import Budget, DataSpec, TensorDataModule, Trial
from hybridopt.composition import building, registry
from hybridopt.errors import ConfigError

SPEC = DataSpec((4,), 3, "classification")
QUIET = Trial.trainer_settings | {"enable_progress_bar": False, "enable_model_summary": False}


def data(seed: int = 0) -> TensorDataModule:
    generator = torch.Generator().manual_seed(7)
    inputs = torch.randn(90, 4, generator=generator)
    targets = inputs[:, :3].argmax(dim=1)
    sets = zip(inputs.split(30), targets.split(30), strict=True)
    module = TensorDataModule(*sets, SPEC, batch_size=10)
    module.batch_seed = seed
    return module


def trial(strategy: str, forwards: float = 3000, model: nn.Module | None = None, **settings: object) -> Trial:
    torch.manual_seed(0)
    built = building.build("strategy", {"name": strategy, **settings})
    objective = building.build("objective", {"name": "cross_entropy"})
    return Trial(model or nn.Linear(4, 3), objective, built, Budget(forwards=forwards, marks=5))


def trainer(path: Path, *callbacks: Callback, **settings: object) -> Trainer:
    return Trainer(
        **(QUIET | {"logger": False, "enable_checkpointing": False} | settings),
        default_root_dir=path,
        accelerator="cpu",
        callbacks=list(callbacks),
    )


@pytest.mark.parametrize("strategy", ["adam", "openai_es"])
def test_it_is_a_plain_lightning_module(strategy: str, tmp_path: Path) -> None:
    ours, logger = trial(strategy), CSVLogger(tmp_path)
    fit = trainer(tmp_path, logger=logger)
    fit.fit(ours, datamodule=data())
    assert ours.ledger.exhausted
    assert [step for step, _ in ours.curve] == sorted({step for step, _ in ours.curve})
    assert 3 <= len(ours.curve) <= 5  # a generation may pass two marks
    assert ours.curve[-1][0] == ours.ledger.forwards
    assert {"val/loss", "val/accuracy", "val/f1"} <= fit.callback_metrics.keys()
    assert fit.global_step > 0
    fit.test(ours, datamodule=data(), verbose=False)
    assert {"test/loss", "test/accuracy"} <= ours.tested.keys()


def test_lightnings_callbacks_see_the_marks(tmp_path: Path) -> None:
    ours = trial("sgd", forwards=30_000, lr=0.0)  # nothing improves
    trainer(tmp_path, EarlyStopping("val/loss", patience=1)).fit(ours, datamodule=data())
    assert len(ours.curve) < 5
    assert not ours.ledger.exhausted


def test_without_a_spec_it_says_what_is_missing(tmp_path: Path) -> None:
    loader = torch.utils.data.DataLoader(list(zip(*data().sets["train"], strict=True)), batch_size=10)
    with pytest.raises(ConfigError, match="give Trial a spec"):
        trainer(tmp_path).fit(trial("adam"), loader, loader)


class StopAt(Callback):
    """Saves after some batches, and stops there."""

    def __init__(self, batches: int, path: Path):
        self.batches, self.path = batches, path

    def on_train_batch_end(self, trainer: Trainer, trial: Trial, outputs: object, batch: object, index: int) -> None:
        if index + 1 == self.batches:
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True


def with_dropout() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3))


def test_dropout_draws_from_the_seed_and_resumes(tmp_path: Path) -> None:
    whole = trial("adam", model=with_dropout())
    torch.manual_seed(1)
    trainer(tmp_path).fit(whole, datamodule=data())
    part = trial("adam", model=with_dropout())
    torch.manual_seed(2)
    trainer(tmp_path, StopAt(33, tmp_path / "part.ckpt")).fit(part, datamodule=data())
    resumed = trial("adam", model=with_dropout())
    torch.manual_seed(3)
    trainer(tmp_path).fit(resumed, datamodule=data(), ckpt_path=tmp_path / "part.ckpt", weights_only=True)
    assert resumed.ledger.forwards == whole.ledger.forwards > part.ledger.forwards
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize("strategy", ["adam", "openai_es"])
def test_the_global_generator_is_left_alone(strategy: str, tmp_path: Path) -> None:
    ours = trial(strategy, model=with_dropout())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trainer(tmp_path).fit(ours, datamodule=data())
    assert torch.equal(torch.rand(3), expected)


def test_a_checkpoint_of_a_spent_budget_trains_no_more(tmp_path: Path) -> None:
    whole = trial("openai_es")
    fit = trainer(tmp_path)
    fit.fit(whole, datamodule=data())
    fit.save_checkpoint(tmp_path / "end.ckpt")
    resumed = trial("openai_es")
    trainer(tmp_path).fit(resumed, datamodule=data(), ckpt_path=tmp_path / "end.ckpt", weights_only=True)
    assert resumed.ledger.state_dict() == whole.ledger.state_dict()
    assert torch.equal(resumed.model.weight, whole.model.weight)


def test_searches_and_gradients_stop_at_max_steps(tmp_path: Path) -> None:
    for strategy in ("adam", "openai_es"):
        fit = trainer(tmp_path, max_steps=3)
        fit.fit(trial(strategy, forwards=1e6), datamodule=data())
        assert fit.global_step == 3


class AgainAndAgain(registry.find("objective", "mse").load()):
    """The network feeds on itself, as a policy does on the world that it acts in."""

    tasks = None

    def outputs(self, forward, batch):
        return forward(forward(forward(batch[0])))


def test_what_is_validated_is_what_is_minimised(tmp_path: Path) -> None:
    model = nn.Linear(4, 4)
    inputs, targets = torch.randn(2, 60, 4, generator=torch.Generator().manual_seed(0))
    sets = zip(inputs.split(20), targets.split(20), strict=True)
    module = TensorDataModule(*sets, DataSpec((4,), 4, "regression"), batch_size=20)
    strategy = building.build("strategy", {"name": "openai_es"})
    ours = Trial(model, AgainAndAgain(), strategy, Budget(forwards=100_000, marks=2))
    trainer(tmp_path).fit(ours, datamodule=module)
    with torch.no_grad():
        outputs = model(model(model(inputs[20:40])))
    assert ours.curve[-1][1]["val/loss"] == pytest.approx((outputs - targets[20:40]).square().mean().item(), rel=1e-5)
    members, passes, batch = 100, 3, 20
    assert ours.ledger.forwards % (members * passes * batch) == 0


class EachBatch(Callback):
    """Counts on the Trainer to see every batch, and every update."""

    def __init__(self) -> None:
        self.batches = self.updates = 0

    def on_train_batch_end(self, *_: object) -> None:
        self.batches += 1

    def on_before_optimizer_step(self, *_: object) -> None:
        self.updates += 1


@pytest.mark.parametrize("strategy", ["adam", "openai_es"])
def test_several_steps_in_one_of_the_trainers_are_the_same_steps(strategy: str, tmp_path: Path) -> None:
    swift, watched = trial(strategy, 20_000), trial(strategy, 20_000)
    watcher = EachBatch()
    fits = trainer(tmp_path / "swift"), trainer(tmp_path / "watched", watcher)
    for ours, fit in zip((swift, watched), fits, strict=True):
        fit.fit(ours, datamodule=data())
    assert swift.curve == watched.curve
    for one, other in zip(swift.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert fits[0].global_step == fits[1].global_step == watcher.batches
    assert fits[0].fit_loop.total_batch_idx < watcher.batches - 1  # turns are fewer than steps
    assert watcher.updates == (watcher.batches if strategy == "adam" else 0)


def test_the_trainers_limits_count_steps(tmp_path: Path) -> None:
    for limit in ({"max_steps": 7}, {"limit_train_batches": 7}):
        ours, fit = trial("adam", forwards=1e9), trainer(tmp_path, **limit)
        fit.fit(ours, datamodule=data())
        assert fit.global_step == 7


def test_one_pass_is_no_teacher_where_the_objective_makes_several() -> None:
    class FromOutputs(type(trial("openai_es").strategy)):
        requires = frozenset({"jacobian"})

    with pytest.raises(ConfigError, match="learns from one pass of the network, and the objective AgainAndAgain make"):
        Trial(nn.Linear(4, 4), AgainAndAgain(), FromOutputs(), Budget(forwards=1e3))


def test_another_task_than_the_two_usual_ones_gets_no_advice_that_misleads() -> None:
    objective = building.build("objective", {"name": "cross_entropy"})
    strategy = building.build("strategy", {"name": "openai_es"})
    with pytest.raises(ConfigError, match=r"is a control problem: choose another objective\.$"):
        Trial(nn.Linear(4, 3), objective, strategy, Budget(forwards=1e3), spec=DataSpec((4,), 3, "control"))
