"""Sums that processes make in turn: real processes, that talk over gloo."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, multiprocessing

from hybridopt.engine.population import BLOCK, SeededPopulation
from hybridopt.engine.sharding import ProcessGroup, SingleProcess, shared, sharing

D = 3 * BLOCK + 5


def update(members: int) -> Tensor:
    """A weighted sum of noise, as the processes that share now make it."""
    population = SeededPopulation(torch.zeros(D), torch.arange(members), torch.ones(members))
    weights = torch.randn(members, generator=torch.Generator().manual_seed(0))
    return torch.cat([values for _, values in population.weighted_noise(weights)])


def rank_of(rank: int, ranks: int, folder: str, members: int) -> None:
    """One process: it leaves its sum, and how many noise vectors it drew."""
    torch.set_num_threads(1)
    store = distributed.FileStore(f"{folder}/store", ranks)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=ranks)
    drawn: list[int] = []
    noise = SeededPopulation._noise

    def counted(population: SeededPopulation, i: int):
        drawn.append(i)  # when the first value is asked for
        yield from noise(population, i)

    SeededPopulation._noise = counted
    with sharing(ProcessGroup(torch.device("cpu"))):
        torch.save((update(members), drawn), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize(("ranks", "members"), [(2, 16), (3, 20)])
def test_each_adds_its_own_terms_to_the_bits_of_one_process(tmp_path: Path, ranks: int, members: int) -> None:
    multiprocessing.spawn(rank_of, (ranks, str(tmp_path), members), nprocs=ranks)
    alone, made = update(members), []
    for rank in range(ranks):
        total, drawn = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert torch.equal(total, alone)
        assert len(drawn) <= -(-members // ranks)
        made += drawn
    assert made == list(range(members))


def test_few_terms_are_not_worth_an_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    with sharing(ProcessGroup(torch.device("cpu"))):  # which nobody else is in
        apart = update(4)
    assert isinstance(shared(), SingleProcess)
    assert torch.equal(apart, update(4))
