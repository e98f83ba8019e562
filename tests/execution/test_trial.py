"""A Trial in a script of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import trees_of_inputs
from pytorch_lightning import LightningDataModule, Trainer
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.plugins import MixedPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset
from trees_of_inputs import LengthGRU, sequences

from hybridopt import Budget, DataSpec, TensorDataModule, Trial
from hybridopt.composition import building, registry
from hybridopt.encodings.subspace import Subspace
from hybridopt.errors import ConfigError, DataError
from hybridopt.execution.result import phases
from hybridopt.testing.plugins import filled

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
    built = building.build("strategy", filled("strategy", {"name": strategy, **settings}))
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


def test_without_a_spec_it_is_read_off_a_batch(tmp_path: Path) -> None:
    loader = torch.utils.data.DataLoader(list(zip(*data().sets["train"], strict=True)), batch_size=10)
    ours = trial("adam", model=nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3)))
    trainer(tmp_path).fit(ours, loader, loader)
    assert ours.spec == SPEC
    assert ours.curve[-1][1]["val/accuracy"] > 0.5
    with pytest.raises(ConfigError, match="give Trial a spec"):
        trainer(tmp_path).fit(trial("adam"), iter(loader), loader)  # of which a look would take a batch


@pytest.mark.parametrize("strategy", ["adam", "openai_es", "ns_es"])
def test_inputs_of_several_tensors(strategy: str, tmp_path: Path) -> None:
    from_memory, from_loader = trial(strategy, model=LengthGRU()), trial(strategy, model=LengthGRU())
    trainer(tmp_path).fit(from_memory, datamodule=trees_of_inputs.data())
    loader = DataLoader(trees_of_inputs.rows(sequences(60)), batch_size=10, shuffle=True)
    trainer(tmp_path).fit(from_loader, loader, DataLoader(trees_of_inputs.rows(sequences(30, 1)), batch_size=30))
    for ours in (from_memory, from_loader):
        assert ours.spec == trees_of_inputs.SPEC
        assert ours.ledger.forwards % 10 == 0
        assert ours.curve[-1][1]["val/loss"] < 1.2


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
    strategy = building.build("strategy", {"name": "openai_es", "probe": 0})
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


# -- any data ---------------------------------------------------------------------------------------------------------


class Plain(LightningDataModule):
    """Ordinary loaders, and nothing of hybridopt."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(*data().sets["train"]), batch_size=7, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(*data().sets["val"]), batch_size=16)


def fit_on(path: Path, what: str, strategy: str = "adam") -> Trial:
    ours = trial(strategy, forwards=6000)
    ours.spec = SPEC
    plain = Plain()
    if what == "datamodule":
        trainer(path).fit(ours, datamodule=plain)
    else:
        trainer(path).fit(ours, plain.train_dataloader(), plain.val_dataloader())
    return ours


@pytest.mark.parametrize("strategy", ["adam", "openai_es"])
@pytest.mark.parametrize("what", ["datamodule", "loaders"])
def test_it_trains_to_its_budget_on_ordinary_loaders(what: str, strategy: str, tmp_path: Path) -> None:
    ours = fit_on(tmp_path, what, strategy)
    assert ours.ledger.exhausted
    assert len(ours.curve) == 5
    assert ours.curve[-1][0] == ours.ledger.forwards


def test_ordinary_loaders_give_the_same_numbers_again_whatever_torchs_generator(tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = fit_on(tmp_path, "datamodule")
    torch.manual_seed(2)
    other = fit_on(tmp_path, "loaders")
    assert one.curve == other.curve


@pytest.mark.parametrize("several", [list, dict])
def test_several_loaders_are_refused(several: type, tmp_path: Path) -> None:
    ours, loader = trial("adam"), Plain().train_dataloader()
    ours.spec = SPEC
    loaders = [loader, loader] if several is list else {"a": loader, "b": loader}
    with pytest.raises(ConfigError, match=f"one loader, but was given a {several.__name__}"):
        trainer(tmp_path).fit(ours, loaders, loader)


def test_batches_that_are_no_pairs_are_refused_before_the_first_step(tmp_path: Path) -> None:
    ours = trial("adam")
    ours.spec = SPEC
    with pytest.raises(DataError, match="must be a pair of tensors, inputs and targets, but is"):
        trainer(tmp_path).fit(ours, DataLoader(torch.randn(30, 4), batch_size=5), Plain().val_dataloader())
    assert ours.ledger.forwards == 0


# -- recommendations --------------------------------------------------------------------------------------------------


class Watch(Callback):
    """Notes the parameters in training, in validation, and in the checkpoints that others would keep."""

    def __init__(self) -> None:
        self.trained: list[Tensor] = []
        self.validated: list[Tensor] = []

    def on_train_batch_end(self, trainer: Trainer, module: Trial, *args: object) -> None:
        self.trained.append(flat(module))

    def on_train_batch_start(self, trainer: Trainer, module: Trial, *args: object) -> None:
        if self.trained:
            assert torch.equal(flat(module), self.trained[-1])  # validation has put them back

    def on_validation_end(self, trainer: Trainer, module: Trial) -> None:
        self.validated.append(flat(module))


def flat(module: Trial) -> Tensor:
    return nn.utils.parameters_to_vector(module.model.parameters()).detach().clone()


def test_what_is_recommended_is_validated_and_training_goes_on_with_its_own_weights(tmp_path: Path) -> None:
    watch, plain = Watch(), Watch()
    averaged = trial("ema", inner={"name": "adam"}, decay=0.9)
    trainer(tmp_path, watch).fit(averaged, datamodule=data())
    trainer(tmp_path, plain).fit(trial("adam"), datamodule=data())
    assert len(watch.trained) == len(plain.trained)
    assert all(torch.equal(one, other) for one, other in zip(watch.trained, plain.trained, strict=True))
    assert not torch.equal(watch.validated[-1], watch.trained[-1])
    assert torch.equal(flat(averaged), averaged.strategy.average)
    assert torch.equal(flat(averaged), watch.validated[-1])


@pytest.mark.parametrize("strategy", ["ema", "best_so_far"])
def test_a_wrapper_goes_on_from_a_checkpoint_of_a_mark_as_if_it_had_not_stopped(strategy: str, tmp_path: Path) -> None:
    settings = {"inner": {"name": "adam"}}
    whole = trial(strategy, **settings)
    trainer(tmp_path).fit(whole, datamodule=data())
    saved = tmp_path / "mark.ckpt"

    class Save(Callback):
        def on_validation_end(self, trainer: Trainer, module: Trial) -> None:
            if len(module.curve) == 2:
                trainer.save_checkpoint(saved)

    trainer(tmp_path, Save()).fit(trial(strategy, **settings), datamodule=data())
    resumed = trial(strategy, **settings)
    trainer(tmp_path).fit(resumed, datamodule=data(), ckpt_path=saved)
    assert torch.equal(flat(resumed), flat(whole))
    assert resumed.curve == whole.curve
    kept = torch.load(saved, weights_only=True)["state_dict"]
    average = torch.cat([value.flatten() for name, value in kept.items() if name.startswith("model.")])
    assert torch.equal(average, kept[f"strategy.{'average' if strategy == 'ema' else 'best'}"])


def test_descent_in_a_subspace_stays_in_it(tmp_path: Path) -> None:
    """The experiment of Li et al. 2018: gradient descent on the coefficients of a few random directions."""
    ours = trial("adam", forwards=60_000, lr=0.1)
    ours.encoding = Subspace(6)
    start, held_out = flat(ours), data().sets["val"]
    before = nn.functional.cross_entropy(ours.model(held_out[0]), held_out[1])
    trainer(tmp_path).fit(ours, datamodule=data())
    moved = flat(ours) - start
    inside = torch.linalg.lstsq(ours.encoding.projection.T, moved[:, None]).solution[:, 0]
    assert torch.allclose(inside @ ours.encoding.projection, moved, atol=1e-5)
    assert torch.allclose(inside, ours.strategy.recommend(), atol=1e-4)
    assert ours.curve[-1][1]["val/loss"] < 0.8 * before


def test_phases_of_phases_have_rows_of_their_own(tmp_path: Path) -> None:
    inner = {"name": "sequence", "phases": {"a": {"name": "openai_es"}, "b": {"name": "adam"}}}
    ours = trial("sequence", forwards=12_000, phases={"first": inner, "last": {"name": "sgd"}})
    trainer(tmp_path).fit(ours, datamodule=data())
    rows = {phase.name: phase for phase in phases(ours)}
    assert list(rows) == ["first", "first/a", "first/b", "last"]
    assert all(phase.metrics.keys() >= {"val/loss", "val/accuracy"} for phase in rows.values())
    assert rows["first"].metrics == rows["first/b"].metrics != rows["first/a"].metrics
    assert rows["first"].forwards == rows["first/a"].forwards + rows["first/b"].forwards


@pytest.mark.parametrize("strategy", ["alternate", "split"])
def test_phases_that_take_turns_have_rows_whose_costs_are_the_runs(strategy: str, tmp_path: Path) -> None:
    members = {"a": {"name": "openai_es"}, "b": {"name": "adam"}}
    settings = {"phases": members, "rounds": 3} if strategy == "alternate" else {"groups": members}
    ours = trial(strategy, 12_000, **settings, **({"patterns": {"a": "bias"}} if strategy == "split" else {}))
    trainer(tmp_path).fit(ours, datamodule=data())
    a, b = phases(ours)
    assert (a.name, b.name) == ("a", "b")
    assert a.metrics == b.metrics == ours.curve[-1][1]
    assert a.forwards + b.forwards == ours.ledger.forwards
    assert a.seconds + b.seconds == pytest.approx(ours.ledger.seconds)
    assert min(a.seconds, b.seconds) > 0


def test_a_target_that_is_reached_ends_the_last_phase_and_the_run(tmp_path: Path) -> None:
    def until(value: float) -> Trial:
        reached = {"name": "target", "metric": "val/loss", "value": value}
        ours = trial("sequence", 6000, phases={"a": {"name": "adam"}, "b": {"name": "adam"}}, until={"b": reached})
        trainer(tmp_path).fit(ours, datamodule=data())
        return ours

    early, whole = until(1e6), until(-1.0)
    assert early.ledger.phases["b"].forwards < whole.ledger.phases["b"].forwards
    assert not early.ledger.exhausted
    assert [phase.name for phase in phases(early)] == ["a", "b"]
    assert whole.ledger.exhausted


def test_a_run_ends_when_its_strategy_has_finished(tmp_path: Path) -> None:
    ours = trial("random_search")
    ours.strategy.finished = lambda: ours.ledger.evaluations >= 150
    trainer(tmp_path).fit(ours, datamodule=data())
    assert 150 <= ours.ledger.evaluations < 300
    assert ours.curve[-1][0] == ours.ledger.forwards < 3000


# -- things used twice ------------------------------------------------------------------------------------------------


class Tied(nn.Module):
    """One weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.down.weight = self.up.weight
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.down(self.up(x).tanh()))


class SaveAtSecondMark(Callback):
    """Writes a checkpoint where validation has put what is recommended into the network."""

    def __init__(self, path: Path):
        self.path = path

    def on_validation_end(self, trainer: Trainer, module: Trial) -> None:
        if len(module.curve) == 2:
            trainer.save_checkpoint(self.path)


def test_a_network_of_tied_weights_goes_on_with_its_own(tmp_path: Path) -> None:
    def fresh() -> Trial:
        torch.manual_seed(3)
        return trial("ema", model=Tied(), inner={"name": "adam"})

    whole, resumed, saved = fresh(), fresh(), tmp_path / "mark.ckpt"
    trainer(tmp_path, SaveAtSecondMark(saved)).fit(whole, datamodule=data())
    trainer(tmp_path).fit(resumed, datamodule=data(), ckpt_path=saved)
    assert torch.equal(flat(resumed), flat(whole))


@pytest.mark.parametrize("what", ["test", "validate"])
def test_a_checkpoint_is_tested_as_it_was_recommended(what: str, tmp_path: Path) -> None:
    saved = tmp_path / "mark.ckpt"
    trained = trial("ema", inner={"name": "adam"})
    trainer(tmp_path, SaveAtSecondMark(saved)).fit(trained, datamodule=data())
    fresh = trial("ema", inner={"name": "adam"})
    getattr(trainer(tmp_path), what)(fresh, datamodule=data(), ckpt_path=saved, verbose=False)
    kept = torch.load(saved, weights_only=True)["state_dict"]
    assert torch.equal(flat(fresh), kept["strategy.average"])
    assert bool(fresh.tested) == (what == "test")


def test_a_second_trial_on_one_data_module_has_the_batches_of_its_own_seed(tmp_path: Path) -> None:
    def fit(module: Plain, seed: int) -> Tensor:
        torch.manual_seed(0)
        built = building.build("strategy", filled("strategy", {"name": "adam"}))
        objective = building.build("objective", {"name": "cross_entropy"})
        ours = Trial(nn.Linear(4, 3), objective, built, Budget(forwards=2000, marks=2), seed=seed, spec=SPEC)
        trainer(tmp_path).fit(ours, datamodule=module)
        return flat(ours)

    shared = Plain()
    zero, one = fit(shared, 0), fit(shared, 1)
    assert not torch.equal(zero, one)
    assert torch.equal(one, fit(Plain(), 1))


@pytest.mark.parametrize("encoded", [False, True])
def test_a_strategy_trains_the_network_of_a_second_trial_too(encoded: bool, tmp_path: Path) -> None:
    strategy = building.build("strategy", filled("strategy", {"name": "adam"}))
    objective = building.build("objective", {"name": "cross_entropy"})
    ends = []
    for _ in range(2):
        torch.manual_seed(0)
        encoding = Subspace(5) if encoded else None
        ours = Trial(nn.Linear(4, 3), objective, strategy, Budget(forwards=2000, marks=2), encoding=encoding)
        trainer(tmp_path).fit(ours, datamodule=data())
        ends.append(flat(ours))
    assert torch.equal(*ends)


def test_a_sampler_with_a_generator_of_its_own_is_repeated(tmp_path: Path) -> None:
    def fit() -> Tensor:
        rows = TensorDataset(*data().sets["train"])
        sampler = RandomSampler(rows, generator=torch.Generator())
        ours = trial("adam", forwards=2000)
        ours.spec = SPEC
        loader = DataLoader(rows, batch_size=7, sampler=sampler)
        next(iter(loader))  # it has drawn before
        trainer(tmp_path).fit(ours, loader, Plain().val_dataloader())
        return flat(ours)

    assert torch.equal(fit(), fit())


def test_mixed_precision_moves_a_search_vector_past_its_scaler(tmp_path: Path) -> None:
    torch.manual_seed(0)
    strategy = building.build("strategy", filled("strategy", {"name": "adam"}))
    objective = building.build("objective", {"name": "cross_entropy"})
    ours = Trial(nn.Linear(4, 3), objective, strategy, Budget(forwards=2000, marks=2), encoding=Subspace(5))
    scaled = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    trainer(tmp_path, plugins=[scaled]).fit(ours, datamodule=data())
    assert ours.ledger.exhausted
    assert ours.strategy.z.abs().max() > 0
