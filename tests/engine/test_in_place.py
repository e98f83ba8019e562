"""Large networks that are in memory once: the same losses, bit for bit, as of members that are written out."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from hybridopt import Budget, Oracle
from hybridopt.composition import building
from hybridopt.core.ledger import Ledger
from hybridopt.engine.population import MemberReader, SeededPopulation
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.testing.by_hand import begin

OTHERS = ["adamezo", "hizoo", "lozo", "mezo_svrg", "zo_muon"]
CLASSES, LENGTH, VOCABULARY = 3, 7, 200  # more tokens than twice a batch's: rows are made by themselves


class Encoder(nn.Module):
    """A transformer with a mask, by torch's fused layer: operations that take a whole layer's weights at once."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, 8, padding_idx=0)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        hidden = self.blocks(self.tokens(inputs["ids"]), src_key_padding_mask=inputs["mask"])
        return self.head(hidden[:, 0])


class Tied(Encoder):
    """Reads out by the embedding, as language models do."""

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        hidden = self.blocks(self.tokens(inputs["ids"]))
        return (hidden[:, 0] @ self.tokens.weight.T)[:, :CLASSES]


class Recurrent(Encoder):
    """A cell whose weights each step of a sequence takes."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.GRU(8, 8, batch_first=True)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.head(self.blocks(self.tokens(inputs["ids"]))[0][:, -1])


class Roundabout(Encoder):
    """Takes a weight by ``.data``, another by numpy, which torch does not see, and one not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(CLASSES)), nn.Parameter(torch.zeros(CLASSES))
        self.unused = nn.Parameter(torch.zeros(400))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return super().forward(inputs) * self.scale.data + torch.as_tensor(self.shift.detach().numpy())


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, 6, 3), nn.BatchNorm1d(6), nn.ReLU(), nn.Flatten(), nn.LazyLinear(CLASSES)
        )

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.layers(inputs["ids"][:, None].float())


NETWORKS = [Encoder, Tied, Recurrent, Roundabout, Convolutional]


def batch() -> tuple[dict[str, Tensor], Tensor]:
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(VOCABULARY, (10, LENGTH), generator=generator)
    mask = torch.arange(LENGTH) >= torch.randint(3, LENGTH + 1, (10, 1), generator=generator)
    return {"ids": ids, "mask": mask}, torch.randint(CLASSES, (10,), generator=generator)


def network(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(1)
    model = kind()
    with torch.no_grad():
        model.eval()(batch()[0])
    return model


def oracle_for(model: nn.Module, in_place: bool) -> Oracle:
    account, generator = Ledger(Budget(forwards=1e9)), torch.Generator().manual_seed(3)
    return Oracle(model, CrossEntropy(), account, generator, chunk=1, in_place=in_place)


@pytest.fixture(autouse=True)
def everything_counts_as_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybridopt.engine.in_place.LARGE", 0)
    monkeypatch.setattr("hybridopt.engine.population.BLOCK", 100)  # so that parameters lie across blocks


def trained(model: nn.Module, oracle: Oracle, settings: dict[str, str]) -> tuple[Tensor, list[float]]:
    strategy = begin(building.build("strategy", {"probe": 1, "lr": 0.01, **settings}), oracle, batch())
    losses = [float(strategy.step(oracle, batch())["loss"]) for _ in range(8)]
    return strategy.recommend(), losses


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_course_is_that_of_members_that_are_written_out(kind: type[nn.Module]) -> None:
    plain, shared = network(kind), network(kind)
    theta, losses = trained(plain, oracle_for(plain, False), {"name": "mezo"})
    own, same = trained(shared, oracle_for(shared, True), {"name": "mezo"})
    assert losses == same
    assert torch.equal(theta, own)
    first = next(shared.parameters())
    assert first.untyped_storage().data_ptr() == own.untyped_storage().data_ptr()  # once in memory
    assert torch.equal(torch.cat([value.detach().flatten() for value in shared.parameters()]), own)


@pytest.mark.parametrize("strategy", [{"name": "mezo", "descent": "adam"}, *({"name": name} for name in OTHERS)])
def test_nor_does_that_of_searches_with_more_vectors(strategy: dict[str, str]) -> None:
    plain, shared = network(Encoder), network(Encoder)
    theta, losses = trained(plain, oracle_for(plain, False), strategy)
    own, same = trained(shared, oracle_for(shared, True), strategy)
    assert losses == same
    assert torch.equal(theta, own)
    assert next(shared.parameters()).data_ptr() == own.data_ptr()


@pytest.mark.parametrize("in_place", [False, True])
def test_autocast_sees_each_member(in_place: bool) -> None:
    """It remembers casts by the place, and members take turns in one place."""
    model = network(Encoder)
    oracle = oracle_for(model, in_place)
    population = SeededPopulation(oracle.own_start(), torch.tensor([1, 1, 2]), torch.tensor([0.5, -0.5, 0.5]))
    dense = population.materialize()
    with torch.autocast("cpu", torch.bfloat16):
        losses = oracle.losses(population, batch())
        expected = oracle_for(network(Encoder), False).losses(dense, batch())
    assert losses.unique().numel() == 3
    assert torch.allclose(losses, expected, atol=0.01)  # fused layers may round elsewhere


def test_parameters_that_share_memory_or_differ_in_kind_are_left_where_they_are() -> None:
    for change in (
        lambda model: setattr(model.head, "bias", nn.Parameter(model.head.bias.detach().double())),
        lambda model: setattr(model.head.bias, "data", model.head.weight.data[0, :CLASSES]),
    ):
        model = network(Encoder)
        change(model)
        before = [value.data_ptr() for value in model.parameters()]
        oracle_for(model, True).own_start()
        assert [value.data_ptr() for value in model.parameters()] == before


def test_a_failing_network_is_left_as_it_was() -> None:
    model = network(Encoder)
    oracle = oracle_for(model, True)
    vector = oracle.own_start()
    before = copy.deepcopy(vector)
    inputs, targets = batch()
    population = SeededPopulation(vector, torch.tensor([1]), torch.tensor([0.1]))
    with pytest.raises(IndexError):
        oracle.losses(population, ({**inputs, "ids": inputs["ids"] + VOCABULARY}, targets))
    assert torch.equal(vector, before)
    assert all(value.untyped_storage().data_ptr() == vector.data_ptr() for value in model.parameters())


@pytest.mark.parametrize("table", [None, 3000])
@pytest.mark.parametrize("widths", [False, True])
def test_a_member_is_read_in_any_order(table: int | None, widths: bool) -> None:
    center = torch.randn(1050)
    population = SeededPopulation(
        center,
        torch.tensor([7]),
        torch.tensor([0.5]),
        None if table is None else torch.randn(table),
        torch.rand(1050) if widths else None,
    )
    whole = torch.cat([values for _, values in population.member(0)])
    reader = MemberReader(population, 0)
    for first, last in ((700, 1050), (0, 10), (350, 820), (99, 101), (1049, 1050), (0, 1050)):
        part = torch.empty(last - first)
        reader.read(first, part)
        assert torch.equal(part, whole[first:last])
