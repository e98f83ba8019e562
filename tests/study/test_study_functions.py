"""Test functions, and searches on them."""

from __future__ import annotations

import math

import pytest
import torch

from hybridopt.study.functions import FUNCTIONS, Recorded, branin, searched, sphere, start


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_is_lowest_where_it_should_be(name: str) -> None:
    place = torch.full((1, 3), 1.0 if name == "rosenbrock" else 0.0, dtype=torch.float64)
    around = place + 0.1 * torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(FUNCTIONS[name](place)) == pytest.approx(0, abs=1e-12)
    assert (FUNCTIONS[name](around) > 1e-6).all()


@pytest.mark.parametrize("place", [(-math.pi, 12.275), (math.pi, 2.275), (3 * math.pi, 2.475)])
def test_branin_has_three_lowest_places(place: tuple[float, float]) -> None:
    assert float(branin(torch.tensor([place], dtype=torch.float64))) == pytest.approx(0.397887, abs=1e-6)


def test_what_was_asked_is_kept_in_order() -> None:
    seen = Recorded(sphere)
    for value in (2.0, math.nan, 3.0, 1.0):
        seen(torch.tensor([[value]]))
    assert seen.best_after([1, 3, 4, 9]) == [4, 4, 1, 1]
    assert seen.where == torch.tensor([1.0])


def test_a_search_is_charged_for_all_that_it_asks_and_ends_where_nothing_gets_better() -> None:
    seen = Recorded(sphere)
    place = searched({"name": "cem", "sigma": 0.5}, seen, start(3, 0), 500, 0)
    assert len(seen.values) == 500
    assert float(sphere(place[None])) < float(sphere(start(3, 0)[None]))
    still = Recorded(lambda x: torch.ones(len(x), dtype=x.dtype))
    searched({"name": "cem", "sigma": 0.5}, still, start(3, 0), 10_000, 0, patience=3)
    assert len(still.values) < 1000
