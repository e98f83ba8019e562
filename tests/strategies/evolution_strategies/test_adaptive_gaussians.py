"""Gaussians that adapt: what the published formulas give, and what quadratics show."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hybridopt.composition import building
from hybridopt.strategies.evolution_strategies.lm_ma_es import Rates
from hybridopt.strategies.evolution_strategies.snes import utilities


def run(name: str, loss, d: int, generations: int, **settings: object) -> torch.Tensor:
    search = building.build("strategy", {"name": name, **settings})
    search.generator = torch.Generator().manual_seed(0)
    search.start(torch.ones(d))
    for generation in range(generations):
        search.progress = generation / generations
        population = search.ask()
        search.tell(population, loss(population))
    return search.recommend()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_utilities_sum_to_zero_and_fall_with_the_loss(values: list[float]) -> None:
    losses = torch.tensor(values, dtype=torch.float64)
    found = utilities(losses)
    assert abs(float(found.sum())) < 1e-9
    order = found[losses.argsort(stable=True)]
    assert bool((order[:-1] >= order[1:] - 1e-12).all())


def test_utilities_are_the_published_ones() -> None:
    raw = [max(0.0, math.log(3) - math.log(k)) for k in (1, 2, 3, 4)]
    wanted = [value / sum(raw) - 0.25 for value in raw]
    assert utilities(torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("name", ["snes", "cem"])
def test_a_stretched_quadratic_is_solved(name: str) -> None:
    scales = torch.logspace(0, 3, 10)
    found = run(name, lambda x: (scales * x**2).sum(dim=1), 10, 400, **({"sigma": 0.5} if name == "snes" else {}))
    assert float((scales * found**2).sum()) < 1e-2 * float(scales.sum())


def test_snes_narrows_where_it_matters() -> None:
    search = building.build("strategy", {"name": "snes", "sigma": 0.5})
    search.generator = torch.Generator().manual_seed(0)
    search.start(torch.zeros(2))
    for _ in range(200):
        population = search.ask()
        search.tell(population, 1e4 * population[:, 0] ** 2 + population[:, 1] ** 2 * 1e-4)
    assert float(search.widths[0]) < 0.2 * float(search.widths[1])


def test_cem_learns_nothing_from_failures() -> None:
    search = building.build("strategy", {"name": "cem", "popsize": 8})
    search.generator = torch.Generator().manual_seed(0)
    search.start(torch.ones(3))
    search.tell(search.ask(), torch.full((8,), torch.inf))
    assert torch.equal(search.recommend(), torch.ones(3))


# -- limited-memory matrix adaptation ---------------------------------------------------------------------------------


def cigar(x: torch.Tensor) -> torch.Tensor:
    """Flat in one oblique direction, steep in all others; the difference needs float64."""
    along = x.sum(dim=1) / x.shape[1] ** 0.5
    return along**2 + 1e4 * (x.square().sum(dim=1) - along**2)


def test_a_learnt_direction_solves_what_a_round_gaussian_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    ends, usual = {}, Rates.of

    def round_ones(popsize: int | None, m: torch.Tensor) -> Rates:
        """No direction is learnt."""
        return replace(usual(popsize, m), c_d=torch.zeros(1))

    for directions in (1, None):
        search = building.build("strategy", {"name": "lm_ma_es", "sigma": 0.5, "directions": directions})
        search.generator = torch.Generator().manual_seed(0)
        search.start(torch.ones(20, dtype=torch.float64))
        monkeypatch.setattr(Rates, "of", usual if directions is None else round_ones)
        for _ in range(1500):
            population = search.ask()
            search.tell(population, cigar(population))
        ends[directions] = float(cigar(search.recommend()[None]))
    assert ends[None] < 1e-3 * ends[1]


def test_its_memory_grows_with_the_logarithm_of_the_dimension() -> None:
    search = building.build("strategy", {"name": "lm_ma_es"})
    search.start(torch.zeros(100_000))
    assert sum(value.numel() for value in search.buffers()) < 41 * 100_000


def test_failures_move_nothing() -> None:
    search = building.build("strategy", {"name": "lm_ma_es", "popsize": 8})
    search.generator = torch.Generator().manual_seed(0)
    search.start(torch.ones(3))
    search.tell(search.ask(), torch.full((8,), torch.inf))
    assert torch.equal(search.recommend(), torch.ones(3))
    assert float(search.width) == pytest.approx(0.05)
