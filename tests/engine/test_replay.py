"""What is recorded and replayed is what would be run; recorded by tracing, as a CPU has no CUDA graphs."""

import logging
from collections.abc import Iterator

import pytest
import torch
from small_problems import make_strategy
from torch import Tensor, nn

from hybridopt import Budget, Ledger
from hybridopt.composition import building
from hybridopt.core.oracle import Oracle
from hybridopt.core.spec import DataSpec
from hybridopt.engine import replay
from hybridopt.engine.population import SeededPopulation
from hybridopt.errors import ConfigError
from hybridopt.testing.tracing import recording_on_cpus

SPEC = DataSpec(input_shape=(1, 8, 8), output_size=3, task="classification")
BATCHES = [(torch.randn(16, 1, 8, 8), torch.randint(3, (16,))) for _ in range(4)]


@pytest.fixture(autouse=True)
def recording() -> Iterator[None]:
    with recording_on_cpus():
        yield


def oracles(model: nn.Module, encoding: str | None = None) -> list[Oracle]:
    """The same one twice: evaluations are run, and recorded."""
    objective = building.build("objective", {"name": "cross_entropy"}, spec=SPEC)
    made = []
    for graph in ("none", "auto"):
        own = None if encoding is None else building.build("encoding", {"name": encoding})
        generator = torch.Generator().manual_seed(0)
        made.append(Oracle(model, objective, Ledger(Budget(forwards=1e9)), generator, encoding=own, graph=graph))
    return made


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return building.build("model", {"name": name}, spec=SPEC)


def populations(oracle: Oracle, members: int, seeded: bool) -> Iterator[Tensor | SeededPopulation]:
    for k in range(len(BATCHES)):
        if seeded:
            seeds, scales = torch.arange(members) + 100 * k, torch.full((members,), 0.1)
            yield SeededPopulation(oracle.start, seeds, scales)
        else:
            yield oracle.start + 0.1 * torch.randn(members, oracle.dimension)


@pytest.mark.parametrize("members", [1, 2, 20])
@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize("name", ["mlp", "cnn", "rnn"])
def test_losses_and_costs_are_the_same(name: str, seeded: bool, members: int) -> None:
    run, recorded = oracles(network(name))
    for population, batch in zip(populations(run, members, seeded), BATCHES, strict=True):
        torch.testing.assert_close(recorded.losses(population, batch), run.losses(population, batch))
        assert (recorded.ledger.forwards, recorded.ledger.evaluations) == (run.ledger.forwards, run.ledger.evaluations)
    assert any(recorded._evaluate._replays._recordings.values())  # pyright: ignore


@pytest.mark.parametrize("encoding", ["supermask", "subspace"])
def test_what_an_encoding_keeps_counts_also_after_it_has_changed(encoding: str) -> None:
    run, recorded = oracles(network("mlp"), encoding)
    for oracle in (run, recorded):
        assert len(oracle.start) == oracle.dimension  # encodings begin with their first start
    for k, batch in enumerate(BATCHES):
        z = torch.randn(8, run.dimension, generator=torch.Generator().manual_seed(k))
        torch.testing.assert_close(recorded.losses(z, batch), run.losses(z, batch))
        for oracle in (run, recorded):
            for name, value in list(oracle.encoding.named_buffers()):
                if value.is_floating_point():
                    oracle.encoding.register_buffer(name, 1.5 * value)


def test_weights_that_are_not_searched_count_written_to_or_replaced() -> None:
    model = network("mlp")
    names = list(dict(model.named_parameters()))
    run, recorded = (oracle.restricted(names[:1]) for oracle in oracles(model))
    other = dict(model.named_parameters())[names[-1]]
    z = run.start + torch.zeros(8, run.dimension)
    for change in (lambda: None, lambda: None, lambda: other.data.add_(1.0), lambda: None, lambda: None):
        change()
        torch.testing.assert_close(recorded.losses(z, BATCHES[0]), run.losses(z, BATCHES[0]))
    for factor in (2.0, 3.0):
        other.data = factor * torch.randn_like(other)
        torch.testing.assert_close(recorded.losses(z, BATCHES[0]), run.losses(z, BATCHES[0]))


def test_a_mask_counts() -> None:
    run, recorded = oracles(network("mlp"))
    z = torch.randn(8, run.dimension)
    for kept in (0.0, 1.0):
        mask = {name: torch.rand_like(value) > kept for name, value in run.parameters().items() if value.ndim == 2}
        views = run.masked(mask), recorded.masked(mask)
        for batch in BATCHES[:3]:
            torch.testing.assert_close(views[1].losses(z, batch), views[0].losses(z, batch))


class Reads(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        outputs = super().forward(inputs.flatten(1))
        return outputs if outputs.sum().item() > 0 else -outputs


class Chooses(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        outputs = super().forward(inputs.flatten(1))
        return outputs - outputs[outputs > 0].sum()


class Draws(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs.flatten(1)) + torch.rand(())


@pytest.mark.parametrize("kind", [Reads, Chooses, Draws])
def test_what_cannot_be_recorded_is_run_as_ever(kind: type[nn.Linear], caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    run, recorded = oracles(kind(64, 3))
    with caplog.at_level(logging.INFO, "hybridopt"):
        for batch in BATCHES:
            z = torch.randn(3, run.dimension)
            answers = []
            for oracle in (run, recorded):
                torch.manual_seed(1)
                answers.append(oracle.losses(z, batch))
            assert torch.equal(*answers)
    assert not any(recorded._evaluate._replays._recordings.values())  # pyright: ignore
    assert kind is Draws or "cannot be recorded" in caplog.text


def test_so_many_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MOST", 3)
    run, recorded = oracles(network("mlp"))
    for members in (6, 7, 8, 9, 6):
        z = torch.randn(members, run.dimension)
        torch.testing.assert_close(recorded.losses(z, BATCHES[0]), run.losses(z, BATCHES[0]))
    assert not recorded._evaluate._replays._recordings  # pyright: ignore


def test_a_search_ends_where_it_would() -> None:
    ends = []
    for oracle in oracles(network("mlp")):
        strategy = make_strategy("openai_es")
        strategy.attach(oracle)
        strategy.begin(oracle, BATCHES[0])
        for batch in 3 * BATCHES:
            strategy.step(oracle, batch)
        ends.append(strategy.recommend())
    torch.testing.assert_close(*ends)


def test_another_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"oracle\.graph must be none or auto, but is 'on'"):
        Oracle(
            network("mlp"),
            building.build("objective", {"name": "cross_entropy"}, spec=SPEC),
            *(Ledger(Budget(forwards=1e9)), torch.Generator()),
            graph="on",
        )
