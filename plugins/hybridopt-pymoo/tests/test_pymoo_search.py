"""The searches against pymoo's own loops; what they do on new batches, after failures, and after a resume."""

from __future__ import annotations

import io
import statistics
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hybridopt_pymoo.search import SEEDS, PymooSearch
from pymoo.algorithms.moo import moead, nsga2, nsga3, sms
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.indicators.hv import HV
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.bitflip import BitflipMutation
from scipy import stats
from torch import Tensor

from hybridopt import ConfigError
from hybridopt.composition import building
from hybridopt.toolbox.fronts import nondominated

DIMENSION = 10
NAMES = ["nsga2", "nsga3", "moead", "sms_emoa"]
EVENLY = {"sigma": None, "width": 0.5}  # over the unit box, as pymoo samples it
each_name = pytest.mark.parametrize("name", NAMES)
Readings = Callable[[Tensor], Tensor]


def zdt1(x: Tensor, power: float = 0.5) -> Tensor:
    """Zitzler, Deb & Thiele 2000, https://doi.org/10.1162/106365600568202: (n, d) in [0, 1] -> (n, 2)."""
    first, behind = x[:, 0].clamp(min=0), 1 + 9 * x[:, 1:].mean(dim=1)
    return torch.stack([first, behind * (1 - (first / behind) ** power)], dim=1)


def zdt2(x: Tensor) -> Tensor:
    return zdt1(x, 2.0)


def dtlz2(x: Tensor) -> Tensor:
    """Deb, Thiele, Laumanns & Zitzler 2005 with three objectives: (n, d) in [0, 1] -> (n, 3)."""
    away, angles = 1 + (x[:, 2:] - 0.5).square().sum(dim=1), x[:, :2] * torch.pi / 2
    (c, b), (s, t) = angles.cos().T, angles.sin().T
    return away[:, None] * torch.stack([c * b, c * t, s], dim=1)


def ones_and_pairs(x: Tensor) -> Tensor:
    """Of signs: the share of ones, and of neighbours that are equal."""
    return torch.stack([(x >= 0).double().mean(dim=1), (x[:, 1:] * x[:, :-1] > 0).double().mean(dim=1)], dim=1)


def make(name: str, seed: int = 0, dimension: int = DIMENSION, objectives: int = 2, **settings: Any) -> PymooSearch:
    search = building.build("strategy", {"name": name, "popsize": 20, **EVENLY, **settings})
    search.names = tuple("abc"[:objectives])
    search.context.generator = torch.Generator().manual_seed(seed)
    search.start(torch.full((dimension,), 0.5, dtype=torch.float64))
    search.context.known = True  # the batch is always the same
    return search


def generations(search: PymooSearch, count: int, readings: Readings = zdt1) -> PymooSearch:
    for _ in range(count):
        population = search.ask()
        search.tell(population, readings(population))
    return search


# -- against pymoo's own loops ----------------------------------------------------------------------------------------


class Theirs(Problem):
    """The same as a problem of pymoo's."""

    def __init__(self, readings: Readings, objectives: int, dimension: int = DIMENSION, **kind: Any):
        super().__init__(n_var=dimension, n_obj=objectives, xl=0.0, xu=1.0, **kind)
        self.readings, self.bits = readings, bool(kind)

    def _evaluate(self, x: np.ndarray, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        out["F"] = self.readings(torch.from_numpy(2.0 * x - 1 if self.bits else x)).numpy()


def directions(count: int, objectives: int) -> np.ndarray:
    first = np.linspace(0, 1, count)
    if objectives == 2:
        return np.stack([first, 1 - first], axis=1)
    return np.array([[i, j, 5 - i - j] for i in range(6) for j in range(6 - i)]) / 5


SAME: list[tuple[str, type, dict[str, Any], Readings, int]] = [
    ("nsga2", nsga2.NSGA2, {}, zdt1, 2),
    ("nsga3", nsga3.NSGA3, {"ref_dirs": directions(20, 2)}, zdt2, 2),
    ("nsga3", nsga3.NSGA3, {"ref_dirs": directions(21, 3)}, dtlz2, 3),
    ("sms_emoa", sms.SMSEMOA, {}, zdt1, 2),
    ("sms_emoa", sms.SMSEMOA, {}, dtlz2, 3),
    ("nsga2", nsga2.NSGA2, {"crossover": UX(prob=0.9), "mutation": BitflipMutation()}, ones_and_pairs, 2),
]


@pytest.mark.parametrize(("name", "kind", "settings", "readings", "objectives"), SAME)
def test_it_is_what_pymoo_does_by_itself(
    name: str, kind: type, settings: dict[str, Any], readings: Readings, objectives: int
) -> None:
    """From the same first population and numpy generators it has the same generations, to the last bit."""
    bits = readings is ones_and_pairs
    d = 100 if bits else DIMENSION  # enough for a first population without duplicates, which pymoo would drop
    size = 21 if objectives == 3 else 20
    ours = make(name, dimension=d, objectives=objectives, popsize=size, **({"variation": "binary"} if bits else {}))
    problem = Theirs(readings, objectives, d, **({"vtype": bool} if bits else {}))
    first = (ours.members >= 0).numpy() if bits else ours.members.numpy()
    theirs = kind(pop_size=size, sampling=first, **settings)
    theirs.setup(problem, termination=NoTermination())
    for _ in range(15):
        state = torch.Generator()
        state.set_state(ours.generator.get_state())
        theirs.random_state = np.random.default_rng(int(torch.randint(SEEDS, (), generator=state)))
        with warnings.catch_warnings():
            theirs.next()
        generations(ours, 1, readings)
        found = theirs.pop.get("X")
        assert torch.equal(ours.members, torch.from_numpy(2.0 * found - 1 if bits else found))
        assert torch.equal(ours.values, torch.from_numpy(theirs.pop.get("F")))


@pytest.mark.slow
@pytest.mark.parametrize("readings", [zdt1, zdt2])
def test_generations_of_moead_come_as_far_as_one_child_after_the_other(readings: Readings) -> None:
    """Hypervolumes of 15 seeds after 1600 evaluations; pymoo's children are one by one, and nothing is normalised."""
    volume = HV(ref_point=np.array([1.1, 1.1]))
    ours, theirs = [], []
    for seed in range(15):
        search = make("moead", seed, dimension=4, neighbours=5, normalise=False)
        ours.append(float(volume(generations(search, 80, readings).front_readings().numpy())))
        algorithm = moead.MOEAD(directions(20, 2), n_neighbors=5, seed=seed)
        algorithm.setup(Theirs(readings, 2, 4), termination=("n_eval", 1600))
        theirs.append(float(volume(algorithm.run().F)))
    assert statistics.median(ours) == pytest.approx(statistics.median(theirs), rel=0.02)
    assert stats.mannwhitneyu(ours, theirs).pvalue > 0.05


# -- batches, failures ------------------------------------------------------------------------------------------------


@each_name
def test_on_a_new_batch_members_are_judged_again_with_their_children(name: str) -> None:
    search = generations(make(name), 10)
    search.context.known = False
    members, lucky = search.members.clone(), search.values.min(dim=0).values
    population = search.ask()
    assert torch.equal(population[: len(members)], members)
    assert len(population) == 2 * len(members)
    search.tell(population, 5 + zdt1(population))  # a batch on which all is worse
    assert (search.values >= 5).all()
    assert (search.front_readings().min(dim=0).values <= 5 + lucky + 0.05).all()


@each_name
def test_the_front_is_the_best_of_all_that_was_asked_for(name: str) -> None:
    """On one batch: no reading that was ever told dominates the whole front, and no two of it dominate another."""
    search, told = make(name), []
    for _ in range(20):
        population = search.ask()
        told.append(zdt1(population))
        search.tell(population, told[-1])
    front = search.front_readings()
    assert nondominated(front).all()
    torch.testing.assert_close(front, zdt1(search.front()))
    assert torch.cat(told).sum(dim=1).min() >= front.sum(dim=1).min() - 0.1


@each_name
@pytest.mark.parametrize("share", [2, 3, 20])
def test_failures_live_on_only_for_want_of_others(name: str, share: int) -> None:
    """All but each second, third or twentieth member of each population fails."""
    search = make(name)

    def failing(population: Tensor) -> Tensor:
        readings = zdt1(population)
        readings[torch.arange(len(population)) % share != 0, 1] = torch.inf
        return readings

    generations(search, 1, failing)
    before = zdt1(search.front()).sum(dim=1).min()
    assert torch.isfinite(search.front_readings()).all()
    generations(search, 25, failing)
    assert torch.isfinite(search.values).all()
    assert zdt1(search.front()).sum(dim=1).min() < before
    values = search.values.clone()
    generations(search, 1, lambda population: torch.full((len(population), 2), torch.inf))
    assert torch.equal(search.values, values)


@each_name
def test_a_first_generation_of_failures_is_drawn_nearer(name: str) -> None:
    search = make(name)
    far = (search.ask() - 0.5).abs().max()
    generations(search, 2, lambda population: torch.full((len(population), 2), torch.inf))
    torch.testing.assert_close((search.ask() - 0.5).abs().max(), far / 4)
    assert torch.equal(search.recommend(), torch.full((10,), 0.5, dtype=torch.float64))


@each_name
@pytest.mark.parametrize("variation", ["real", "binary"])
def test_it_learns_from_points_that_have_been_moved(name: str, variation: str) -> None:
    """Also out of the box; and their children are numbers."""
    search = generations(make(name, variation=variation), 3)
    population = search.ask()
    population.copy_(population * 3 - 1)
    readings = zdt1(population.abs()) - 100
    search.tell(population, readings)
    assert search.front_readings().max() < -10
    assert (search.front()[:, None] == population[None]).all(dim=2).any(dim=1).all()
    assert torch.isfinite(search.ask()).all()


# -- resume, manners --------------------------------------------------------------------------------------------------


@each_name
@pytest.mark.parametrize("variation", ["real", "binary"])
@pytest.mark.parametrize("steps", [0, 1, 6])
def test_resumed_equals_uninterrupted_on_one_batch(name: str, variation: str, steps: int) -> None:
    """On batches that change the kit asks for it."""
    search = generations(make(name, variation=variation), steps)
    file = io.BytesIO()
    torch.save(search.state_dict(), file)
    file.seek(0)
    noise = search.generator.get_state()
    generations(search, 8)
    again = make(name, seed=9, variation=variation)
    again.load_state_dict(torch.load(file, weights_only=True))
    again.generator.set_state(noise)
    generations(again, 8)
    assert torch.equal(search.members, again.members)
    assert torch.equal(search.values, again.values)


@each_name
def test_settings_of_the_process_stay_as_they_are(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Pymoo's NSGA-III turns warnings off for good, and some of its classes print."""
    before = warnings.filters[:]
    generations(make(name), 5)
    assert warnings.filters == before
    assert capfd.readouterr() == ("", "")


def test_few_bits_are_no_endless_search_for_new_ones() -> None:
    """Two bits have four members."""
    search = generations(make("nsga2", dimension=2, variation="binary"), 3, ones_and_pairs)
    assert search.ask().shape == (20, 2)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"popsize": 3}, "strategy.popsize must be at least 4"),
        ({"sigma": -1.0}, "strategy.sigma must be a positive number"),
        ({"width": 0.0}, "strategy.width must be a positive number"),
        ({"crossover": 1.5}, r"strategy.crossover must lie in \[0, 1\]"),
        ({"mutation": 0.0}, r"strategy.mutation must lie in \(0, 1\]"),
        ({"variation": "bits"}, "strategy.variation must be one of real, binary"),
        ({"choice": "best"}, "strategy.choice must be one of knee"),
        ({"choice": "weights"}, "strategy.weights belong to"),
    ],
)
@each_name
def test_bad_values_are_refused(name: str, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make(name, **settings)


@pytest.mark.parametrize("name", ["nsga3", "moead"])
def test_fewer_members_than_objectives_are_refused(name: str) -> None:
    search = building.build("strategy", {"name": name, "popsize": 4})
    search.names = tuple("abcde")
    with pytest.raises(ConfigError, match=f"strategy={name} gives each .*popsize must be at least 5, but is 4"):
        search.start(torch.zeros(3))
