"""Populations in bfloat16: nearly the same order, losses in float32, and everything else as it was."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor, nn

from hybridopt import Budget, DataSpec, LowRankPopulation, Oracle
from hybridopt.composition import building
from hybridopt.core.ledger import Ledger
from hybridopt.core.objective import Batch
from hybridopt.engine import precision
from hybridopt.engine.population import Population, SeededPopulation
from hybridopt.errors import ConfigError

SPECS = {
    "mlp": DataSpec((16,), 4, "classification"),
    "cnn": DataSpec((1, 8, 8), 4, "classification"),
    "rnn": DataSpec((6, 4), 4, "classification"),
    "transformer": DataSpec((6, 16), 4, "classification"),
}


class Attending(nn.Module):
    """Torch's own encoder, and batch normalisation of what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.norm, self.output = nn.BatchNorm1d(16), nn.Linear(16, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.output(self.norm(self.blocks(inputs).mean(1)))


def trained(name: str) -> tuple[nn.Module, Batch]:
    """A network that has learned a part of what there is to learn."""
    torch.manual_seed(0)
    spec = SPECS[name]
    model = Attending() if name == "transformer" else building.build("model", {"name": name}, spec=spec)
    inputs = torch.randn(128, *spec.input_shape)
    targets = (inputs.flatten(1) @ torch.randn(inputs[0].numel(), 4)).argmax(1)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    return model, (inputs, targets)


def oracle_for(model: nn.Module, kind: str = "bf16", **settings: object) -> Oracle:
    objective = building.build("objective", {"name": "cross_entropy"})
    ledger = Ledger(Budget(forwards=1e9))
    return Oracle(model, objective, ledger, torch.Generator(), precision=kind, **settings)


def population_of(model: nn.Module, kind: str, n: int = 64, sigma: float = 0.05) -> Population:
    """As openai_es and eggroll ask for by default."""
    center = torch.cat([value.detach().flatten() for value in model.parameters()])
    if kind == "dense":
        return center + sigma * torch.randn(n, len(center))
    if kind == "seeded":
        return SeededPopulation(center, torch.arange(n), torch.full((n,), sigma))
    shapes = {name: value.shape for name, value in model.named_parameters()}
    weights = {name: shape for name, shape in shapes.items() if len(shape) > 1}
    left = {name: torch.randn(n, shape[0], 1) for name, shape in weights.items()}
    right = {name: torch.randn(n, shape[1:].numel(), 1) for name, shape in weights.items()}
    dense = {name: torch.randn(n, *shape) for name, shape in shapes.items() if name not in weights}
    return LowRankPopulation(center, shapes, left, right, dense, sigma)


def agreement(first: Tensor, second: Tensor) -> float:
    """The share of pairs that two rows of losses put in the same order."""
    upper = torch.triu(torch.ones(len(first), len(first)), 1).bool()
    orders = [(losses[:, None] < losses[None])[upper] for losses in (first, second)]
    return (orders[0] == orders[1]).double().mean().item()


@pytest.mark.parametrize("kind", ["dense", "seeded", "low rank"])
@pytest.mark.parametrize("name", SPECS)
def test_members_are_ranked_as_in_float32(name: str, kind: str) -> None:
    model, batch = trained(name)
    population = population_of(model, kind)
    exact = oracle_for(model, "float32").losses(population, batch)
    lower = oracle_for(model).losses(population, batch)
    assert lower.dtype == torch.float32
    assert not torch.equal(lower, exact)
    assert len(lower.unique()) == len(exact.unique())  # they are not rounded to 1/256
    assert agreement(lower, exact) >= 0.95


@pytest.mark.parametrize("mode", ["vmap", "loop"])
def test_the_network_and_its_gradients_are_as_they_were(mode: str) -> None:
    model, batch = trained("transformer")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    exact, lower = (oracle_for(model, kind, mode=mode) for kind in ("float32", "bf16"))
    population = population_of(model, "dense", 8)
    lower.losses(population, batch)
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    for slopes, expected in zip(lower.gradients(population, batch), exact.gradients(population, batch), strict=True):
        assert torch.equal(slopes, expected)


def test_one_member_and_what_changes_between_populations_count() -> None:
    model, batch = trained("transformer")
    one = population_of(model, "seeded", 1, sigma=0.5)
    model.eval()
    for variance in (1.0, 25.0):
        model.norm.running_var.fill_(variance)
        exact, lower = (oracle_for(model, kind).losses(one, batch) for kind in ("float32", "bf16"))
        torch.testing.assert_close(lower, exact, rtol=0.02, atol=0.02)
    oracle = oracle_for(model)
    oracle.losses(one, batch)
    model.norm.running_var.fill_(1.0)
    torch.testing.assert_close(
        oracle.losses(one, batch), oracle_for(model, "float32").losses(one, batch), rtol=0.02, atol=0.02
    )


def test_tokens_stay_whole_numbers() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(500, 8), nn.Flatten(), nn.Linear(24, 4))
    batch = torch.randint(257, 500, (20, 3)), torch.randint(4, (20,))  # bfloat16 does not tell them apart
    population = population_of(model, "dense", 16, sigma=0.3)
    exact, lower = (oracle_for(model, kind).losses(population, batch) for kind in ("float32", "bf16"))
    torch.testing.assert_close(lower, exact, rtol=0.02, atol=0.02)


def test_a_large_network_keeps_a_memory_of_its_own() -> None:
    model, _ = trained("mlp")
    assert not oracle_for(model, in_place=True).in_place
    assert oracle_for(model, "float32", in_place=True).in_place


def test_what_makes_no_sense_is_refused() -> None:
    model, batch = trained("mlp")
    with pytest.raises(ConfigError, match=r"oracle\.precision must be float32 or bf16, but is 'fp8'"):
        oracle_for(model, "fp8")
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ConfigError, match=r"trainer\.precision=32-true"):
        oracle_for(model).losses(population_of(model, "dense", 8), batch)
    with pytest.raises(ConfigError, match=r"has parameters in float64: leave it at float32"):
        oracle_for(model.double())


@pytest.mark.parametrize("fast", [True, False])
def test_a_machine_without_the_arithmetic_says_so(
    fast: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(precision, "is_fast", lambda device: fast)
    with caplog.at_level(logging.WARNING):
        oracle_for(trained("mlp")[0])
    assert ("saves no time" in caplog.text) is not fast
