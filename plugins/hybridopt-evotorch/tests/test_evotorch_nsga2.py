"""EvoTorch's NSGA-II: the same as in its own loop, with failures, on new batches, and resumed."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pytest
import torch
from hybridopt_evotorch.library import imported
from hybridopt_evotorch.nsga2 import EvoTorchNSGA2
from torch import Tensor

from hybridopt import ConfigError
from hybridopt.composition import building
from hybridopt.toolbox.fronts import nondominated

D = 8


def bowls(x: Tensor) -> Tensor:
    """Distances to two places, whose front lies between them: (n, d) -> (n, 2)."""
    return torch.stack([(x - 1).square().mean(dim=1), (x + 1).square().mean(dim=1)], dim=1)


def make(seed: int = 0, **settings: Any) -> EvoTorchNSGA2:
    search = building.build("strategy", {"name": "evotorch_nsga2", "popsize": 20, "sigma": 0.1, **settings})
    search.names = ("a", "b")
    search.context.generator = torch.Generator().manual_seed(seed)
    search.start(torch.full((D,), 2.0))
    search.context.known = True  # the batch is always the same
    return search


def generations(search: EvoTorchNSGA2, count: int) -> EvoTorchNSGA2:
    for _ in range(count):
        population = search.ask()
        search.tell(population, bowls(population))
    return search


def test_it_is_what_evotorch_does_by_itself() -> None:
    """From the same first population and generator it has the same generations."""
    ours = make()
    core, algorithms, operators = (imported(f"evotorch.{name}") for name in ("core", "algorithms", "operators"))
    problem = core.Problem(["min", "min"], bowls, solution_length=D, initial_bounds=(-1, 1), vectorized=True, seed=0)
    cross = operators.SimulatedBinaryCrossOver(problem, tournament_size=2, eta=15.0, num_children=20)
    mutate = operators.GaussianMutation(problem, stdev=0.1, mutation_probability=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = algorithms.GeneticAlgorithm(problem, operators=[cross, mutate], popsize=20, re_evaluate=False)
    theirs.population.set_values(ours.members)
    generations(ours, 1)
    problem.generator.set_state(ours.generator.get_state())
    for _ in range(12):
        theirs.step()
        generations(ours, 1)
        assert torch.equal(ours.members, theirs.population.values.as_subclass(Tensor))
        assert torch.equal(ours.values, theirs.population.evals.as_subclass(Tensor))


def test_it_spreads_over_the_front() -> None:
    front = generations(make(), 150).front_readings()
    assert nondominated(front).all()
    assert len(front) > 10
    assert (front.sqrt().sum(dim=1) < 2.2).all()  # 2 on the front itself, 4 at the start
    assert (front.max(dim=0).values - front.min(dim=0).values > 0.7).all()


def test_on_a_new_batch_members_are_judged_again_and_failures_leave() -> None:
    search = generations(make(), 5)
    search.context.known = False
    members = search.members.clone()
    population = search.ask()
    assert torch.equal(population[:20], members)
    assert len(population) == 40
    readings = 5 + bowls(population)
    readings[::2, 1] = torch.inf
    search.tell(population, readings)
    assert torch.isfinite(search.values).all()
    assert (search.values >= 5).all()
    readings[1:, 0] = torch.inf  # one is left, and fails as well
    readings[0] = 5.0
    search.tell(population, readings)
    assert search.front_readings().tolist() == [[5.0, 5.0]]
    assert torch.isfinite(search.ask()).all()


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_resumed_equals_uninterrupted_on_one_batch(steps: int) -> None:
    search = generations(make(), steps)
    file = io.BytesIO()
    torch.save(search.state_dict(), file)
    file.seek(0)
    noise = search.generator.get_state()
    generations(search, 8)
    again = make(seed=9)
    again.load_state_dict(torch.load(file, weights_only=True))
    again.generator.set_state(noise)
    assert torch.equal(search.members, generations(again, 8).members)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"popsize": 2}, "strategy.popsize must be at least 4"),
        ({"popsize": 7}, "strategy.popsize must be even"),
        ({"sigma": 0.0}, "strategy.sigma must be a positive number"),
        ({"mutation": 0.0}, "strategy.mutation must lie in"),
        ({"tournament_size": 0}, "strategy.tournament_size must be at least 1"),
    ],
)
def test_bad_values_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make(**settings)
