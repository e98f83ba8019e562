"""Restarts: the regimes' bookkeeping, when a run is over, and which mean is recommended."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hybridopt_cma.cma_es import CmaEs
from hybridopt_cma.restarts import Regimes
from torch import Tensor

from hybridopt.composition import building

AMPLE = 1e9


def make(**settings: Any) -> CmaEs:
    search = building.build("strategy", {"name": "cma_es", "popsize": 6, "sigma": 0.5, **settings})
    search.generator = torch.Generator().manual_seed(0)
    search.horizon = 100_000
    search.start(torch.ones(3, dtype=torch.float64))
    return search


def sphere(x: Tensor) -> Tensor:
    return (x**2).sum(-1)


# -- bookkeeping ------------------------------------------------------------------------------------------------------


def test_ipop_doubles_while_the_budget_lasts() -> None:
    regimes, sizes = Regimes("ipop", 10, 0.5), []
    for _ in range(4):
        regimes.spent = 100
        sizes.append(regimes.restart(lambda: 0.5, AMPLE))
    assert sizes == [(0.5, 20), (0.5, 40), (0.5, 80), (0.5, 160)]
    assert regimes.restart(lambda: 0.5, 2000.0) == (0.5, 200)  # ten generations of 200
    assert regimes.restart(lambda: 0.5, 3.0) == (0.5, 10)  # never less than the first one


def test_bipop_takes_turns_by_what_was_spent() -> None:
    """The first run counts as a small one; then the regime with less behind it is next (Hansen 2009)."""
    regimes, order = Regimes("bipop", 10, 1.0), []
    for spent in (1000, 1500, 300, 400, 4000):
        regimes.spent = spent
        regimes.restart(lambda: 0.0, AMPLE)
        order.append((regimes.regime, regimes.limit))
    # small spent 1000 1000 1300 1700 1700, large spent 0 1500 1500 1500 5500
    assert order == [("large", 0), ("small", 750), ("small", 750), ("large", 0), ("small", 2000)]


def test_bipop_draws_small_populations_and_steps() -> None:
    def drawn(u: float) -> tuple[float, int]:
        return Regimes("bipop", 10, 1.0, large=160, small_spent=1, large_spent=5).restart(lambda: u, AMPLE)

    assert drawn(0.0) == (1.0, 10)
    assert drawn(0.5) == (0.1, int(10 * 8**0.25))
    sigma, popsize = drawn(0.999999)
    assert sigma == pytest.approx(0.01, rel=1e-4)
    assert popsize == 79  # half of the large one, almost


def test_a_small_run_is_over_when_half_the_last_large_one_is_spent() -> None:
    regimes = Regimes("bipop", 10, 1.0)
    for spent in (1000, 1500):
        regimes.spent = spent
        regimes.restart(lambda: 0.0, AMPLE)
    regimes.spent = 749
    assert not regimes.over
    regimes.spent = 750
    assert regimes.over


# -- in the search ----------------------------------------------------------------------------------------------------


def test_a_run_ends_when_its_steps_have_become_too_small() -> None:
    search = make(restarts="ipop")
    for _ in range(300):
        population = search.ask()
        search.tell(population, sphere(population))
    assert search.facts() == {"restarts": str(search._regimes.restarts)}
    assert search._regimes.restarts >= 1
    assert search._engine.popsize >= 12
    assert sphere(search.recommend()) < 1e-15


def test_losses_of_different_batches_end_no_run() -> None:
    """Flat across generations, as a stretch of equal batches would be, but with steps as large as ever."""
    search = make(restarts="ipop")
    for _ in range(200):
        population = search.ask()
        search.tell(population, torch.linspace(0, 1e-13, len(population), dtype=torch.float64))
    assert search._regimes.restarts == 0


def test_on_full_batches_a_tolerance_may_end_a_run() -> None:
    search = make(restarts="ipop", tolfun=1e-6)
    for _ in range(120):
        population = search.ask()
        search.tell(population, sphere(population))
    assert search._regimes.restarts >= 1


def at_restart() -> tuple[CmaEs, Tensor]:
    search = make(restarts="ipop")
    population = search.ask()
    search.tell(population, sphere(population))
    search._restart()
    return search, search.recommend()


def test_means_of_former_runs_are_evaluated_with_the_present_one() -> None:
    search, former = at_restart()
    population = search.ask()
    assert len(population) == 2 + 12
    assert torch.equal(population[0], former)
    assert torch.equal(population[1], torch.ones(3, dtype=torch.float64))  # where the new run begins


@pytest.mark.parametrize("better", [True, False])
def test_the_better_mean_on_the_present_batch_is_recommended(better: bool) -> None:
    search, former = at_restart()
    assert torch.equal(search.recommend(), former)
    population = search.ask()
    losses = sphere(population)
    losses[:2] = torch.tensor([1.0, 0.5] if better else [0.5, 1.0])
    search.tell(population, losses)
    assert torch.equal(search.recommend(), former) is not better


def test_of_several_former_means_the_best_on_the_present_batch_is_kept() -> None:
    search, former = at_restart()
    population = search.ask()
    losses = sphere(population)
    losses[:2] = torch.tensor([1.0, 0.5])
    search.tell(population, losses)
    present = search.recommend()
    search._restart()
    assert torch.equal(search.kept, torch.stack([present, former]))
    population = search.ask()
    losses = sphere(population)
    losses[:3] = torch.tensor([3.0, 2.0, 4.0])
    search.tell(population, losses)
    assert torch.equal(search.kept, former[None])
    assert torch.equal(search.recommend(), former)
