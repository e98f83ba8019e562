"""TorchOptim against a loop written by hand; its schedule, and what it refuses."""

import copy
import inspect
from itertools import cycle, islice

import pytest
import torch
from small_problems import begin
from torch import nn

from hybridopt.composition import building
from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.oracle import Oracle
from hybridopt.errors import ConfigError
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.strategies.gradient.torch_optim import TorchOptim
from hybridopt.toolbox.schedule import Decay

BATCH, STEPS = 8, 20
CASES = [
    ("SGD", {}),
    ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {"betas": (0.8, 0.9), "amsgrad": True}),
    ("AdamW", {"weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("Adagrad", {"lr_decay": 0.01}),
    ("Rprop", {}),
]


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def batches():
    generator = torch.Generator().manual_seed(1)
    some = [(torch.randn(BATCH, 3, generator=generator), torch.randn(BATCH, 2, generator=generator)) for _ in range(5)]
    return islice(cycle(some), STEPS)


def oracle_of(model):
    budget = Budget(forwards=3 * BATCH * STEPS)
    return Oracle(model, MeanSquaredError(), Ledger(budget), torch.Generator().manual_seed(0))


def run(strategy, model):
    """The records of a run over the whole budget."""
    oracle = oracle_of(model)
    begin(strategy, oracle, next(iter(batches())))
    return [strategy.step(oracle, batch) for batch in batches()]


def run_by_hand(name, model, rates, max_norm=None, **settings):
    """The losses of the same run in plain torch."""
    optimizer_class = getattr(torch.optim, name)
    kernel = {"fused": True} if "fused" in inspect.signature(optimizer_class).parameters else {}
    optimizer = optimizer_class(model.parameters(), lr=rates[0], **kernel, **settings)
    losses = []
    for rate, (inputs, targets) in zip(rates, batches(), strict=True):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(inputs), targets)
        loss.backward()
        if max_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        losses.append(loss.detach())
    return losses


def assert_same_parameters(one, other):
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=[name for name, _ in CASES])
def test_goes_the_way_of_a_loop_written_by_hand(name, settings):
    ours, reference = network(), network()
    records = run(TorchOptim(name, 0.01, settings=settings), ours)
    losses = run_by_hand({"sgd": "SGD"}.get(name, name), reference, [0.01] * STEPS, **settings)
    assert [record["loss"] for record in records] == losses
    assert_same_parameters(ours, reference)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "exponential"])
def test_the_learning_rate_follows_the_schedule_over_the_budget(schedule):
    rates = [0.1 * Decay(schedule, 0.01)(step / STEPS) for step in range(STEPS)]
    ours, reference = network(), network()
    records = run(TorchOptim("SGD", 0.1, schedule, 0.01), ours)
    assert [record["lr"] for record in records] == pytest.approx(rates)
    run_by_hand("SGD", reference, [record["lr"] for record in records])
    assert_same_parameters(ours, reference)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop", "torch_optim"])
def test_every_registered_gradient_method_lowers_the_loss(name):
    model = network()
    records = run(building.build("strategy", {"name": name, "lr": 0.01}), model)
    assert records[-1]["loss"] < records[STEPS - 5 - 1]["loss"] < records[4]["loss"]  # on one and the same batch


@pytest.mark.parametrize(
    ("name", "optimizer", "settings"),
    [
        ("adam", "Adam", {"betas": (0.5, 0.6), "eps": 1e-3, "weight_decay": 0.1, "amsgrad": True}),
        ("adamw", "AdamW", {"betas": (0.5, 0.6), "eps": 1e-3, "weight_decay": 0.2}),
        ("sgd", "SGD", {"momentum": 0.5, "weight_decay": 0.1, "nesterov": True}),
        ("rmsprop", "RMSprop", {"alpha": 0.5, "eps": 1e-3, "momentum": 0.3, "weight_decay": 0.1}),
    ],
)
def test_the_registered_names_hand_all_their_settings_on(name, optimizer, settings):
    given = settings | {"lr": 0.02, "schedule": "linear", "final_lr": 0.5, "max_norm": 0.1}
    config = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    ours, reference = network(), network()
    records = run(building.build("strategy", {"name": name} | config), ours)
    run_by_hand(optimizer, reference, [record["lr"] for record in records], 0.1, **settings)
    assert records[0]["lr"] == pytest.approx(0.02)
    assert records[-1]["lr"] == pytest.approx(0.02 * (1 - 0.5 * (STEPS - 1) / STEPS))
    assert_same_parameters(ours, reference)


def test_the_optimizers_are_over_the_trainable_parameters():
    model = network()
    model[0].weight.requires_grad_(False)
    frozen = model[0].weight.clone()
    strategy = TorchOptim("AdamW", 0.1, settings={"weight_decay": 0.5})
    strategy.attach(oracle_of(model))
    (optimizer,) = strategy.optimizers()
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    run(TorchOptim("AdamW", 0.1, settings={"weight_decay": 0.5}), model)
    assert torch.equal(model[0].weight, frozen)


def test_goes_on_from_a_checkpoint_as_if_it_had_not_stopped():
    straight, model = network(), network()
    run(TorchOptim("Adam", 0.05, "cosine"), straight)
    first, oracle, stream = TorchOptim("Adam", 0.05, "cosine"), oracle_of(model), list(batches())
    begin(first, oracle, stream[0])
    (optimizer,) = first.optimizers()
    for batch in stream[:7]:
        first.step(oracle, batch)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict(), oracle.ledger.state_dict()))
    second, model = TorchOptim("Adam", 0.05, "cosine"), network()
    oracle = oracle_of(model)
    second.attach(oracle)
    targets = model, *second.optimizers(), oracle.ledger
    for target, state in zip(targets, saved, strict=True):
        target.load_state_dict(state)
    for batch in stream[7:]:
        second.step(oracle, batch)
    assert_same_parameters(straight, model)


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_misspelt_optimizer_is_refused_with_a_suggestion():
    with pytest.raises(ConfigError) as caught:
        TorchOptim("Admaw", 0.1)
    text = str(caught.value)
    assert text.startswith("torch.optim has no optimiser called 'Admaw'. Did you mean 'adamw'? Choose from: ")
    names = text.partition("Choose from: ")[2].rstrip(".").split(", ")
    assert {"adam", "sgd", "rmsprop"} <= set(names)
    assert not {"lbfgs", "sparseadam", "optimizer"} & set(names)


@pytest.mark.parametrize(("name", "reason"), [("LBFGS", "needs a closure"), ("SparseAdam", "needs sparse gradients")])
def test_an_optimizer_that_cannot_work_from_one_gradient_is_refused(name, reason):
    with pytest.raises(ConfigError) as caught:
        TorchOptim(name, 0.1)
    assert str(caught.value) == f"torch.optim.{name} {reason} and cannot take one gradient a step: try adam."


@pytest.mark.parametrize(
    ("name", "lr", "settings", "reason"),
    [
        ("adam", 0.1, {"betas": (1.5, 0.9)}, "Invalid beta parameter"),
        ("adam", 0.1, {"betas": (0.9,)}, "."),
        ("sgd", 0.1, {"nesterov": True}, "Nesterov momentum requires a momentum"),
        ("sgd", 0.1, {"momentun": 0.9}, "momentun"),
        ("sgd", 0.1, {"lr": 0.2}, "lr"),
    ],
)
def test_bad_settings_are_refused_before_anything_trains(name, lr, settings, reason):
    with pytest.raises(ConfigError, match=r"^torch\.optim\.(Adam|SGD) refuses its settings: .*" + reason):
        TorchOptim(name, lr, settings=settings)


def test_an_optimizer_that_cannot_take_the_model_is_refused_in_a_sentence():
    with pytest.raises(ConfigError, match=r"^torch\.optim\.Muon refuses its settings: Muon only supports 2D"):
        TorchOptim("Muon", 0.1).attach(oracle_of(network()))
