"""Populations that are not a matrix: the same members, however they are kept, cut and run."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hybridopt import Budget, DataSpec, LowRankPopulation, Objective, Oracle
from hybridopt.composition import building
from hybridopt.core.ledger import Ledger
from hybridopt.engine import low_rank as low_rank_layers
from hybridopt.engine import population
from hybridopt.engine.population import SeededPopulation, materialize, table_size

SPECS = {
    "mlp": DataSpec((12,), 3, "classification"),
    "cnn": DataSpec((1, 8, 8), 3, "classification"),
    "rnn": DataSpec((5, 4), 3, "classification"),
}


class Embedded(nn.Module):
    """Tokens from the signs of the inputs, embedded, attended to, and read out: most layers that weights go into."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(2, 8)
        self.blocks = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1, enable_nested_tensor=False
        )
        self.narrow = nn.Conv1d(8, 4, 3, padding=1)
        self.out = nn.Parameter(torch.randn(4, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.blocks(self.tokens((inputs > 0).long()))
        return self.narrow(hidden.mT).mean(-1) @ self.out


def build(name: str) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    spec = SPECS.get(name, DataSpec((6,), 3, "classification"))
    model = Embedded() if name == "transformer" else building.build("model", {"name": name}, spec=spec)
    return model, (torch.randn(10, *spec.input_shape), torch.randint(3, (10,)))


def oracle_for(model: nn.Module, **settings: object) -> Oracle:
    objective = building.build("objective", {"name": "cross_entropy"})
    return Oracle(model, objective, Ledger(Budget(forwards=1e9)), torch.Generator(), **settings)


def low_rank(model: nn.Module, n: int, rank: int, sigma: float = 0.1) -> LowRankPopulation:
    shapes = {name: value.shape for name, value in model.named_parameters()}
    weights = {name: shape for name, shape in shapes.items() if len(shape) > 1}
    center = torch.cat([value.detach().flatten() for value in model.parameters()])
    left = {name: torch.randn(n, shape[0], rank) for name, shape in weights.items()}
    right = {name: torch.randn(n, shape[1:].numel(), rank) for name, shape in weights.items()}
    dense = {name: torch.randn(n, *shape) for name, shape in shapes.items() if name not in weights}
    return LowRankPopulation(center, shapes, left, right, dense, sigma)


@pytest.mark.parametrize("mode", ["auto", "vmap", "loop"])
@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("name", ["mlp", "cnn", "rnn", "transformer"])
def test_low_rank_losses_are_those_of_the_whole_members(name: str, rank: int, mode: str) -> None:
    model, batch = build(name)
    population = low_rank(model, 7, rank)
    whole = oracle_for(model, mode="loop").losses(population.materialize(), batch)
    assert torch.allclose(oracle_for(model, mode=mode).losses(population, batch), whole, rtol=1e-4, atol=1e-5)


def test_wide_layers_in_bfloat16_are_one_product_for_all_members(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 3))
    population, batch = low_rank(model, 9, 2), (torch.randn(10, 12), torch.randint(3, (10,)))
    products = []
    product = low_rank_layers.product_of_all
    monkeypatch.setattr(low_rank_layers, "product_of_all", lambda *args: products.append(1) or product(*args))
    for wide, precision, used in ((2000, "bf16", 0), (1000, "bf16", 1), (1000, "float32", 0)):
        monkeypatch.setattr(low_rank_layers, "WIDE", wide)
        exact = oracle_for(model, mode="loop").losses(population, batch)
        losses = oracle_for(model, mode="vmap", precision=precision).losses(population, batch)
        assert torch.allclose(losses, exact, rtol=0.02)
        assert len(products) == used
        products.clear()


@pytest.mark.parametrize("mode", ["auto", "vmap", "loop"])
def test_members_with_inputs_of_their_own(mode: str) -> None:
    class Own(Objective):
        differentiable = False

        def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return outputs.square().mean()

        def outputs(self, forward, batch):
            first = forward(batch[0])
            return forward(torch.cat([first, first, first, first], dim=2))

        def metrics(self, spec: DataSpec):
            raise AssertionError

    model, batch = build("mlp")
    population = low_rank(model, 5, 1)
    settings = {"ledger": Ledger(Budget(forwards=1e9)), "generator": torch.Generator()}
    low, whole = (
        Oracle(model, Own(), **settings, mode=kind).losses(members, batch)
        for kind, members in ((mode, population), ("loop", population.materialize()))
    )
    assert torch.allclose(low, whole, rtol=1e-4)


def seeded(model: nn.Module, n: int = 6, table: int | None = None) -> SeededPopulation:
    center = torch.cat([value.detach().flatten() for value in model.parameters()])
    values = None if table is None else torch.randn(table, generator=torch.Generator().manual_seed(1))
    return SeededPopulation(center, 7**9 * torch.arange(n).div(2).int(), torch.tensor([0.1, -0.1] * (n // 2)), values)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(0, 5), st.sampled_from([None, 1000]), st.sampled_from([100, 2**15]))
def test_a_seeded_member_is_the_same_in_any_chunk(chunk: int, member: int, table: int | None, short: int) -> None:
    model, batch = build("mlp")
    population = seeded(model, table=table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hybridopt.engine.population.SHORT", short)  # windows copied at once, or met one by one
        check_chunks(model, batch, population, chunk, member)


def check_chunks(
    model: nn.Module, batch: tuple[Tensor, Tensor], population: SeededPopulation, chunk: int, member: int
) -> None:
    dense = population.materialize()
    assert torch.equal(population[member : member + 1].materialize()[0], dense[member])
    losses = oracle_for(model, chunk=chunk).losses(population, batch)
    assert torch.allclose(losses, oracle_for(model).losses(dense, batch), rtol=1e-5)


def test_mirrored_members_are_mirrored_and_noise_is_standard_normal() -> None:
    center = torch.zeros(600_000)  # more than one block
    plus, minus, other = SeededPopulation(center, torch.tensor([3, 3, 4]), torch.tensor([1.0, -1.0, 1.0])).materialize()
    assert torch.equal(plus, -minus)
    assert abs(plus.mean()) < 5 / math.sqrt(len(plus))
    assert abs(plus.std() - 1) < 0.01
    assert abs(torch.corrcoef(torch.stack([plus, other]))[0, 1]) < 0.01
    assert abs(torch.corrcoef(torch.stack([plus[: 2**18], plus[2**18 : 2**19]]))[0, 1]) < 0.01


def test_short_noise_is_drawn_once_for_mirrored_members_and_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    blocks = population.noise_blocks
    monkeypatch.setattr(population, "noise_blocks", lambda seed, like: drawn.append(seed) or blocks(seed, like))
    seeded = SeededPopulation(torch.zeros(9), torch.tensor([3, 5, 3, 5]), torch.tensor([1.0, 1.0, -1.0, -1.0]))
    members = seeded.materialize()
    ((_, total),) = seeded.weighted_noise(torch.tensor([2.0, 0.5]))
    assert torch.equal(total, torch.zeros(9).add_(members[0], alpha=2.0).add_(members[1], alpha=0.5))
    assert drawn == [3, 5]


def test_a_seeded_population_run_in_place_leaves_its_centre_exactly() -> None:
    model, batch = build("cnn")
    population = seeded(model)
    oracle = oracle_for(model, chunk=1)
    oracle.losses(population, batch)
    here = torch.cat([value.detach().flatten() for value in model.parameters()])
    assert torch.equal(here, population.center)


@pytest.mark.parametrize("kind", ["low rank", "seeded"])
def test_behind_a_mask_and_in_an_encoding_they_are_what_they_stand_for(kind: str) -> None:
    model, batch = build("mlp")
    name = next(name for name, value in model.named_parameters() if value.ndim > 1)
    mask = {name: torch.rand(dict(model.named_parameters())[name].shape) > 0.5}
    population = low_rank(model, 4, 1) if kind == "low rank" else seeded(model, 4)
    before = copy.deepcopy(model)
    losses = oracle_for(before).masked(mask).losses(materialize(population), batch)
    for chunk in ("auto", 1):
        assert torch.allclose(oracle_for(model, chunk=chunk).masked(mask).losses(population, batch), losses, rtol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "cnn", "rnn"])
@pytest.mark.parametrize("kind", ["dense", "low rank", "seeded"])
def test_autocast_reaches_the_population(name: str, kind: str) -> None:
    model, batch = build(name)
    population = seeded(model) if kind == "seeded" else low_rank(model, 6, 1)
    population = population.materialize() if kind == "dense" else population
    full = oracle_for(model).losses(population, batch)
    with torch.autocast("cpu", torch.bfloat16):
        lower = oracle_for(model).losses(population, batch)
        outputs = oracle_for(model).outputs(population, batch)
    assert lower.dtype == torch.float32
    assert outputs.dtype == torch.bfloat16
    assert not torch.equal(lower, full)
    assert torch.allclose(lower, full, rtol=0.05, atol=0.05)


def regularised() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))


def copies(model: nn.Module, n: int) -> Tensor:
    return torch.cat([value.detach().flatten() for value in model.parameters()]).expand(n, -1)


def test_populations_are_run_in_evaluation_mode_unless_asked_otherwise() -> None:
    model, batch = regularised(), (torch.randn(20, 6), torch.randint(3, (20,)))
    expected = nn.functional.cross_entropy(copy.deepcopy(model).eval()(batch[0]), batch[1])
    assert torch.allclose(oracle_for(model).losses(copies(model, 4), batch), expected.expand(4))


@pytest.mark.parametrize("mode", ["auto", "vmap", "loop"])
def test_dropout_is_each_members_own(mode: str) -> None:
    model, batch = regularised(), (torch.randn(20, 6), torch.randint(3, (20,)))
    losses = oracle_for(model, dropout=True, mode=mode).losses(copies(model, 4), batch)
    assert len(set(losses.tolist())) == 4


def test_batch_statistics_are_each_members_own_and_leave_the_running_ones() -> None:
    model, batch = regularised(), (3 + 5 * torch.randn(20, 6), torch.randint(3, (20,)))
    running = model[1].running_mean.clone()
    members = copies(model, 3) * torch.tensor([[1.0], [2.0], [3.0]])
    losses = oracle_for(model, batch_statistics=True).losses(members, batch)
    for member, loss in zip(members, losses, strict=True):
        alone = copy.deepcopy(model).eval()
        alone[1].train()
        nn.utils.vector_to_parameters(member, alone.parameters())
        assert torch.allclose(nn.functional.cross_entropy(alone(batch[0]), batch[1]), loss, rtol=1e-5)
    assert torch.equal(model[1].running_mean, running)


@pytest.mark.parametrize("name", ["mlp", "cnn", "rnn"])
def test_derivatives_are_the_same_vectorised_or_not(name: str) -> None:
    model, batch = build(name)
    tangents = torch.randn(5, oracle_for(model).dimension)
    for ask in (lambda oracle: oracle.jvp(tangents, batch)[1], lambda oracle: oracle.jacobian(batch)):
        together, alone = ask(oracle_for(model)), ask(oracle_for(model, mode="loop"))
        assert torch.allclose(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("short", [100, 2**15])
@pytest.mark.parametrize("table", [None, 1000])
def test_weighted_noise_is_the_sum_of_the_members_noises(
    table: int | None, short: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybridopt.engine.population.SHORT", short)
    monkeypatch.setattr("hybridopt.engine.population.BLOCK", 300)
    population = seeded(build("mlp")[0], table=table)
    noise = (population.materialize() - population.center) / population.scales[:, None]
    weights = torch.randn(len(population))
    total = torch.empty_like(population.center)
    for part, values in population.weighted_noise(weights):
        total[part] = values
    torch.testing.assert_close(total, weights @ noise, rtol=1e-3, atol=1e-4)


def test_windows_of_a_table_look_like_noise_of_their_own() -> None:
    table = torch.randn(40_000, generator=torch.Generator().manual_seed(2))
    population = SeededPopulation(torch.zeros(5000), torch.randint(2**32, (200,)), torch.ones(200), table)
    noise = population.materialize()
    assert noise.std(1).sub(1).abs().max() < 0.05
    correlations = torch.corrcoef(noise).fill_diagonal_(0)
    assert correlations.abs().max() < 6 / 5000**0.5  # of 19 900 pairs, all as good as independent


@pytest.mark.parametrize(
    ("noises", "d", "size"), [(50, 2410, 15_062), (128, 2 * 10**6, 2**24), (50, 10**7, None), (1, 10, None)]
)
def test_a_table_is_made_where_it_saves_noise_and_fits(noises: int, d: int, size: int | None) -> None:
    assert table_size(noises, d) == size
