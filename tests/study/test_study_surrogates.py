"""Black boxes, and methods that minimise them in few calls."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from hybridopt.study.functions import Recorded
from hybridopt.study.surrogates import (
    Mover,
    apart,
    black_box,
    by_gradient,
    by_search,
    fitted,
    gaussian_process,
    network,
    nevergrad,
    process,
    uniform,
)


@pytest.mark.parametrize("name", ["branin", "ackley 5", "process"])
def test_no_value_is_below_the_lowest(name: str) -> None:
    box = black_box(name, 1)
    x = torch.rand(20_000, box.d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(box.function(x).min()) >= box.lowest


def test_the_process_is_lowest_at_its_place_and_goes_in_steps() -> None:
    place = torch.tensor([0.45, 0.3, 0.7, 0.2, 0.6, 0.4], dtype=torch.float64)
    x = place.repeat(3, 1)
    x[1, 0] += 0.01  # within a step
    x[2, 0] += 0.2
    values = process(x, place)
    assert values[:2].tolist() == [0.0, 0.0]
    assert float(values[2]) > 0


@pytest.mark.parametrize(
    "method",
    [partial(network, mover=by_gradient), partial(network, mover=by_search), gaussian_process, nevergrad, uniform],
)
def test_a_method_asks_as_often_as_it_may_within_the_cube(method: partial) -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        assert bool(((x >= 0) & (x <= 1)).all())
        return (x - 0.3).square().sum(dim=1)

    seen = Recorded(function)
    method(seen, 2, 33, torch.Generator().manual_seed(0))
    assert len(seen.values) == 33
    assert seen.best < 0.05


@pytest.mark.parametrize("mover", [by_gradient, by_search])
def test_places_move_to_where_the_network_is_lowest(mover: Mover) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(200, 2, generator=generator, dtype=torch.float64)
    model = fitted(x, (x - 0.3).square().sum(dim=1), generator)
    moved = mover(model, x[:10], generator)
    assert torch.allclose(moved, torch.full_like(moved, 0.3), atol=0.1)


def test_what_is_asked_next_was_not_asked_before() -> None:
    known = torch.tensor([[0.5, 0.5]])
    places = torch.tensor([[0.5, 0.5], [0.2, 0.2], [0.2, 0.2], [0.3, 0.3], [0.4, 0.4]])
    assert apart(places, known, 2).tolist() == places[[1, 3]].tolist()
