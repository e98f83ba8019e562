"""CMA-ES and its relatives: what they reach, what moves them, how they resume, and what is refused."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hybridopt_cma.search import NARROWEST, default_popsize
from torch import Tensor

from hybridopt import ConfigError, Search
from hybridopt.composition import building

NAMES = ["cma_es", "sep_cma_es", "vkd_cma_es"]
RESTARTING = {
    "restarts": "bipop",
    "tolfun": 1e3,
    "popsize": 5,
}  # ends a run on the ellipsoid after some 200 generations


def sphere(x: Tensor) -> Tensor:
    return (x**2).sum(-1)


def ellipsoid(x: Tensor) -> Tensor:
    scales = 1e6 ** (torch.arange(x.shape[-1], dtype=x.dtype) / (x.shape[-1] - 1))
    return (scales * x**2).sum(-1)


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[..., 1:] - x[..., :-1] ** 2) ** 2 + (1 - x[..., :-1]) ** 2).sum(-1)


def rotated_cigar(x: Tensor) -> Tensor:
    first = x.sum(-1) ** 2 / x.shape[-1]  # along the diagonal
    return first + 1e6 * (sphere(x) - first)


def make(name: str, start: Tensor, seed: int = 0, **settings: Any) -> Search:
    search = building.build("strategy", {"name": name, **settings})
    search.generator = torch.Generator().manual_seed(seed)
    search.horizon = 100_000
    search.start(start)
    return search


def ones(dimension: int = 10) -> Tensor:
    return torch.ones(dimension, dtype=torch.float64)


def generations(search: Search, count: int, loss: Callable[[Tensor], Tensor] = ellipsoid) -> Search:
    for _ in range(count):
        population = search.ask()
        search.tell(population, loss(population))
    return search


# -- what they reach --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "loss", "start", "settings", "count"),
    [
        ("cma_es", ellipsoid, ones(), {"sigma": 1.0}, 500),
        ("cma_es", rosenbrock, 0 * ones(), {"sigma": 0.5}, 700),
        ("cma_es", rotated_cigar, ones(), {"sigma": 1.0, "active": False}, 700),
        ("sep_cma_es", ellipsoid, ones(40), {"sigma": 1.0}, 1500),
        ("vkd_cma_es", rotated_cigar, ones(12), {"sigma": 1.0}, 900),
        ("cma_es", ellipsoid, ones(40), {"sigma": 1.0, "covariance": "diagonal"}, 900),
    ],
)
def test_it_reaches_the_minimum(
    name: str, loss: Callable[[Tensor], Tensor], start: Tensor, settings: dict[str, Any], count: int
) -> None:
    search = make(name, start, **settings)
    generations(search, count, loss)
    assert loss(search.recommend()) < 1e-8


def test_the_full_covariance_learns_what_the_separable_one_cannot() -> None:
    full, separable = (generations(make(name, ones(), sigma=1.0), 600, rotated_cigar) for name in NAMES[:2])
    assert rotated_cigar(full.recommend()) < 1e-6 * rotated_cigar(separable.recommend())


@pytest.mark.parametrize("name", NAMES)
def test_it_bears_noise(name: str) -> None:
    """From 10 down to the noise, at a signal-to-noise ratio of about 1: 3 is passed by all of 20 other seeds."""
    noise = torch.Generator().manual_seed(1)
    search = make(name, ones(), sigma=0.3)
    generations(search, 300, lambda x: sphere(x) + torch.randn(len(x), generator=noise, dtype=x.dtype))
    assert sphere(search.recommend()) < 3


# -- what moves them --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_only_ranks_within_a_generation_count(name: str) -> None:
    """Losses of another batch, that is of another level and scale, make no difference."""
    level = torch.Generator().manual_seed(3)
    one, two = make(name, ones()), make(name, ones())
    for _ in range(30):
        population = one.ask()
        assert torch.equal(population, two.ask())
        losses = ellipsoid(population)
        one.tell(population, losses)
        two.tell(population, losses.log() * 3 + 100 * torch.randn((), generator=level))
    assert torch.equal(one.recommend(), two.recommend())


@pytest.mark.parametrize("name", NAMES)
def test_the_start_then_the_mean_is_recommended(name: str) -> None:
    search = make(name, ones())
    assert torch.equal(search.recommend(), ones())
    population = search.ask()
    assert torch.equal(search.recommend(), ones())
    search.tell(population, ellipsoid(population))
    recommended = search.recommend()
    assert not torch.equal(recommended, ones())
    assert not (population == recommended).all(1).any()
    kept = recommended.clone()
    generations(search, 1)
    assert torch.equal(recommended, kept)  # a copy, which does not move along


@pytest.mark.parametrize("name", NAMES)
def test_failures_rank_last(name: str) -> None:
    one, two = make(name, ones()), make(name, ones())
    for _ in range(20):
        population = one.ask()
        two.ask()
        losses = ellipsoid(population)
        worst = losses.argmax()
        one.tell(population, losses)
        two.tell(population, torch.where(torch.arange(len(losses)) == worst, math.inf, losses))
    assert torch.equal(one.recommend(), two.recommend())


@pytest.mark.parametrize("name", NAMES)
def test_a_generation_of_failures_halves_the_step(name: str) -> None:
    search = make(name, ones(50), sigma=1.0)
    before = float((search.ask() - 1).std())
    generations(search, 3, lambda x: torch.full((len(x),), math.inf))
    assert float((search.ask() - 1).std()) == pytest.approx(before / 8, rel=0.15)
    assert torch.equal(search.recommend(), ones(50))
    generations(search, 60, lambda x: torch.full((len(x),), math.inf))
    assert search._engine.sigma == NARROWEST
    generations(search, 5, sphere)
    assert torch.isfinite(search.recommend()).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_dimension_and_the_type_of_the_weights(name: str, dtype: torch.dtype) -> None:
    search = make(name, torch.ones(1, dtype=dtype), sigma=0.5)
    generations(search, 60, sphere)
    assert search.ask().shape == (default_popsize(1), 1)
    assert search.ask().dtype == search.recommend().dtype == dtype
    assert sphere(search.recommend()) < 1e-2


# -- randomness -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_is_the_only_source_of_randomness(name: str) -> None:
    """In 400 dimensions, since pycma goes over to numpy's global generator from 300 on."""
    start = ones(400)
    state = np.random.get_state()[1].copy(), torch.get_rng_state()
    first = generations(make(name, start), 4).recommend()
    assert (np.random.get_state()[1] == state[0]).all()
    assert torch.equal(torch.get_rng_state(), state[1])
    np.random.seed(1)
    torch.manual_seed(1)
    assert torch.equal(first, generations(make(name, start), 4).recommend())
    assert not torch.equal(first, generations(make(name, start, seed=1), 4).recommend())


# -- resume -----------------------------------------------------------------------------------------------------------


def saved(search: Search) -> dict[str, Any]:
    """The state as a checkpoint brings it back: through a file that holds tensors and plain values only."""
    file = io.BytesIO()
    torch.save(search.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_plain(value: Any) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if type(value) in (list, tuple):
        for item in value:
            assert_plain(item)
    else:
        assert value is None or type(value) in (Tensor, bool, int, float, str)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in NAMES),
        ("cma_es", {"active": False}),
        ("cma_es", {"covariance": "diagonal"}),
        ("cma_es", RESTARTING),
    ],
)
@pytest.mark.parametrize("steps", [0, 1, 2, 13, 90, 230])
def test_resumed_equals_uninterrupted(name: str, settings: dict[str, Any], steps: int) -> None:
    search = generations(make(name, ones(), **settings), steps)
    state, noise = saved(search), search.generator.get_state()
    assert_plain(state["_extra_state"])
    generations(search, 40)

    again = make(name, 5 * ones(), seed=9, **settings)  # as after another initialisation: all comes from the state
    again.load_state_dict(state)
    again.generator.set_state(noise)
    generations(again, 40)
    assert torch.equal(search.ask(), again.ask())
    assert torch.equal(search.recommend(), again.recommend())


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_does_not_move_along(name: str) -> None:
    search = generations(make(name, ones()), 3)
    state, twin = search.state_dict(), saved(search)
    generations(search, 3)
    assert str(state["_extra_state"]) == str(twin["_extra_state"])


def test_the_checkpoint_of_the_separable_one_is_linear_in_the_dimension() -> None:
    file = io.BytesIO()
    torch.save(generations(make("sep_cma_es", torch.ones(10_000)), 2).state_dict(), file)
    assert file.tell() < 10_000 * (4 + 5 * 8) + 10_000


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"popsize": 3}, "popsize must be at least 4, or null for 4 . 3 ln d, but is 3"),
        ({"sigma": 0.0}, "sigma must be a positive number, but is 0"),
        ({"sigma": math.inf}, "sigma must be a finite number, but is inf"),
    ],
)
def test_bad_values_are_refused(name: str, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        building.build("strategy", {"name": name, **settings})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"covariance": "half"}, "strategy.covariance must be one of full, diagonal, but is 'half'"),
        ({"restarts": "often"}, "strategy.restarts must be one of none, ipop, bipop, but is 'often'"),
        ({"tolfun": -1.0}, "strategy.tolfun must be at least 0, but is -1"),
    ],
)
def test_bad_values_of_cma_es_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        building.build("strategy", {"name": "cma_es", **settings})


def test_a_full_covariance_is_refused_in_high_dimensions() -> None:
    sentence = "more than 2000 dimensions, here 2001: take strategy=sep_cma_es, or encoding=subspace"
    with pytest.raises(ConfigError, match=sentence):
        make("cma_es", torch.zeros(2001))
    make("cma_es", torch.zeros(2001), covariance="diagonal").ask()
    make("sep_cma_es", torch.zeros(2001)).ask()
