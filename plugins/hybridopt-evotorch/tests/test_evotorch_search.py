"""EvoTorch's searchers: the same as in EvoTorch's own loop, resumed, seeded, and refused where they cannot work."""

from __future__ import annotations

import io
import logging
import math
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hybridopt_evotorch.drivers import NARROWEST
from hybridopt_evotorch.library import imported
from torch import Tensor

from hybridopt import ConfigError, Search
from hybridopt.composition import building

SEARCHERS: dict[str, dict[str, Any]] = {
    "PGPE": {"popsize": 20, "center_learning_rate": 0.1},
    "PGPE with Adam": {"searcher": "PGPE", "popsize": 20, "optimizer": "adam", "center_learning_rate": 0.1},
    "PGPE with SGD": {"searcher": "PGPE", "popsize": 20, "optimizer": "sgd", "center_learning_rate": 1.0},
    "asymmetric PGPE": {
        "searcher": "PGPE",
        "popsize": 20,
        "center_learning_rate": 0.1,
        "settings": {"symmetric": False},
    },
    "SNES": {"popsize": 10},
    "XNES": {"popsize": 10},
    "CEM": {"popsize": 100},
    "CMAES": {"popsize": 10},
    "separable CMAES": {"searcher": "CMAES", "popsize": 10, "settings": {"separable": True}},
}
each_searcher = pytest.mark.parametrize("name", SEARCHERS)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sphere(x: Tensor) -> Tensor:
    return (x**2).sum(-1)


def build(name: str, **settings: Any) -> Search:
    return building.build("strategy", {"name": "evotorch", "searcher": name, **SEARCHERS.get(name, {}), **settings})


def make(name: str, dimension: int = 8, seed: int = 0, dtype: torch.dtype = torch.float32, **settings: Any) -> Search:
    search = build(name, **{"stdev_init": 0.3, **settings})
    search.generator = torch.Generator().manual_seed(seed)
    search.start(torch.ones(dimension, dtype=dtype))
    return search


def generations(search: Search, count: int, loss: Callable[[Tensor], Tensor] = sphere) -> Search:
    for _ in range(count):
        population = search.ask()
        search.tell(population, loss(population))
    return search


def failing(population: Tensor) -> Tensor:
    return torch.full((len(population),), math.inf)


# -- what they do -----------------------------------------------------------------------------------------------------


@each_searcher
def test_it_minimises(name: str) -> None:
    assert sphere(generations(make(name), 150).recommend()) < 0.05 * 8


@each_searcher
def test_it_is_what_evotorch_does_by_itself(name: str) -> None:
    """EvoTorch's loop on a problem of its own, from the same seed, has the same centres after each update."""
    search = make(name, seed=5)
    core, algorithms = imported("evotorch.core"), imported("evotorch.algorithms")
    problem = core.Problem(
        "min", sphere, solution_length=8, initial_bounds=(-1, 1), dtype=torch.float32, vectorized=True, seed=5
    )
    kind = SEARCHERS[name].get("searcher", name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = getattr(algorithms, kind)(problem, center_init=[1.0] * 8, **search.arguments)
    problem.manual_seed(5)  # whatever the constructor drew
    for _ in range(6):
        theirs.step()
        if kind == "CMAES":
            generations(search, 1)
        assert torch.equal(search.recommend(), theirs.status["center"])
        if kind != "CMAES":  # whose step begins with the update that the generation before is owed
            generations(search, 1)


@each_searcher
def test_the_level_of_the_losses_does_not_count(name: str) -> None:
    """Losses of another batch, that is of another level, make no difference."""
    one, two = make(name), make(name)
    for step in range(10):
        population = one.ask().clone()
        assert torch.equal(population, two.ask())
        ranks = sphere(population).argsort().argsort().float()  # exact whatever is added
        one.tell(population, ranks)
        two.tell(population, ranks + 100 * step)
    assert torch.equal(one.recommend(), two.recommend())


@each_searcher
def test_failures_rank_last(name: str) -> None:
    one, two = make(name), make(name)
    for _ in range(10):
        population = one.ask().clone()
        two.ask()
        losses = sphere(population)
        one.tell(population, losses)
        two.tell(population, torch.where(losses == losses.max(), math.inf, losses))
    assert torch.equal(one.recommend(), two.recommend())


@each_searcher
def test_a_generation_of_failures_halves_the_width(name: str) -> None:
    search = make(name, dimension=40, popsize=60)
    before = float((search.ask() - 1).std())
    generations(search, 3, failing)
    assert float((search.ask() - 1).std()) == pytest.approx(before / 8, rel=0.15)
    assert torch.equal(search.recommend(), torch.ones(40))
    generations(search, 60, failing)
    assert search._driver.shrunk == pytest.approx(NARROWEST, rel=1)
    assert torch.isfinite(generations(search, 3).recommend()).all()


@each_searcher
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_dimension_and_the_type_of_the_weights(name: str, dtype: torch.dtype) -> None:
    search = generations(make(name, dimension=1, dtype=dtype), 60)
    assert search.ask().shape[1:] == search.recommend().shape == (1,)
    assert search.ask().dtype == search.recommend().dtype == dtype
    assert sphere(search.recommend()) < 0.1


@each_searcher
def test_the_start_then_the_centre_is_recommended(name: str) -> None:
    search = make(name)
    search.ask()
    assert torch.equal(search.recommend(), torch.ones(8))
    recommended = generations(search, 1).recommend()
    kept = recommended.clone()
    generations(search, 1)
    assert torch.equal(recommended, kept)


# -- randomness, resume -----------------------------------------------------------------------------------------------


@each_searcher
def test_the_generator_is_the_only_source_of_randomness(name: str) -> None:
    state = np.random.get_state()[1].copy(), torch.get_rng_state()
    first = generations(make(name), 3).recommend()
    assert (np.random.get_state()[1] == state[0]).all()
    assert torch.equal(torch.get_rng_state(), state[1])
    torch.manual_seed(1)
    assert torch.equal(first, generations(make(name), 3).recommend())
    assert not torch.equal(first, generations(make(name, seed=1), 3).recommend())


def saved(search: Search) -> dict[str, Any]:
    """The state as a checkpoint brings it back: through a file that holds tensors and plain values only."""
    file = io.BytesIO()
    torch.save(search.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@each_searcher
@pytest.mark.parametrize("steps", [0, 1, 2, 9])
def test_resumed_equals_uninterrupted(name: str, steps: int) -> None:
    search = generations(generations(make(name), 1, failing), steps)
    state, noise = search.state_dict(), search.generator.get_state()
    loaded = saved(search)
    generations(search, 30)

    for brought in (loaded, state):  # the latter must not have moved along
        again = make(name, seed=9)
        again.load_state_dict(brought)
        again.generator.set_state(noise)
        generations(again, 30)
        assert torch.equal(search.recommend(), again.recommend())
    assert torch.equal(search.ask(), again.ask())
    assert search._driver.shrunk == again._driver.shrunk == 0.5


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"searcher": "SNESS"}, "no searcher 'SNESS'. Did you mean 'SNES'.* Choose from: CEM, CMAES, PGPE, SNES, XNES"),
        ({"searcher": "GeneticAlgorithm"}, "GeneticAlgorithm does not move a Gaussian.* Choose from: CEM"),
        ({"searcher": "PyCMAES"}, "take strategy=cma_es of the package hybridopt-cma"),
        ({"popsize": 0}, "strategy.popsize must be a positive number, but is 0"),
        ({"stdev_init": -1.0}, "strategy.stdev_init must be a positive number, but is -1"),
        ({"popsize": 7}, "PGPE refuses its settings: .*even"),
        ({"optimizer": "adamm"}, "PGPE refuses its settings: "),
        ({"settings": {"optimizer_config": {"speed": 1}}}, "PGPE refuses its settings: "),
        ({"searcher": "CMAES", "optimizer": "adam"}, "strategy.optimizer is nothing that EvoTorch's CMAES takes"),
        ({"searcher": "CEM", "center_learning_rate": 1.0}, "center_learning_rate is nothing that EvoTorch's CEM takes"),
        ({"settings": {"symetric": False}}, "settings.symetric is nothing .* PGPE takes. Did you mean 'symmetric'"),
        ({"settings": {"popsize": 3}}, "settings.popsize is nothing .* It is a setting of the strategy itself"),
        ({"settings": {"distributed": True}}, "settings.distributed is nothing that EvoTorch's PGPE takes"),
    ],
)
def test_what_cannot_work_is_refused_at_once(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        building.build("strategy", {"name": "evotorch", **settings})


@pytest.mark.parametrize(("name", "most"), [("XNES", 500), ("CMAES", 1000)])
def test_a_full_covariance_is_refused_in_high_dimensions(name: str, most: int) -> None:
    sentence = f"{name} .* more than {most} dimensions, here {most + 1}: take strategy.searcher=SNES, or encoding=sub"
    with pytest.raises(ConfigError, match=sentence):
        make(name, dimension=most + 1)
    make("separable CMAES", dimension=most + 1)


# -- the library's manners --------------------------------------------------------------------------------------------

DESCRIBED = """
import sys
from hybridopt.composition import building, registry
names = [parameter.name for parameter in registry.find("strategy", "evotorch").describe().parameters]
assert names[:2] == ["searcher", "popsize"], names
assert not {"evotorch", "ray", "torch"} & set(sys.modules)
"""

IMPORTED = """
import logging, os, sys, warnings
from hybridopt_evotorch.library import imported
def settings():
    log = logging.root
    return warnings.filters[:], os.environ.get("EVOTORCH_VERBOSE_LEVEL"), log.level, log.handlers[:]
before = settings()
imported("evotorch.algorithms")
assert settings() == before
logger = logging.getLogger("evotorch")
assert not logger.handlers and logger.propagate and logger.level == logging.NOTSET
assert not sys.modules["ray"].is_initialized()
"""


@pytest.mark.parametrize("program", [DESCRIBED, pytest.param(IMPORTED, marks=pytest.mark.slow)])
def test_it_keeps_its_hands_off(program: str) -> None:
    """Being listed imports nothing heavy, and being imported changes no settings of the process."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=3600, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_evotorch_says_nothing_of_its_own(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # what another test's program has left there
    generations(make("PGPE"), 2)
    assert logging.getLogger("evotorch").handlers == []
    assert capfd.readouterr() == ("", "")
