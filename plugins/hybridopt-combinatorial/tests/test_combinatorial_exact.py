"""Exact solvers against brute force on tiny instances, their bounds, and what is kept of them."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from hybridopt_combinatorial import reference
from hybridopt_combinatorial.exact import cluster_zeros, flow_shop, knapsack, set_partitioning, tsp
from hybridopt_combinatorial.exact.proof import Proof
from hybridopt_combinatorial.reference import Yardstick
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridopt import ConfigError
from hybridopt.composition import building

few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 2**32 - 1)


def parts(problem, objective, **config):
    """A small problem: its data, and its objective."""
    data = building.build("dataset", {"name": problem, **config})
    return data, building.build("objective", {"name": objective}, spec=data.spec)


def lowest(objective, data, solutions):
    """The lowest loss among solutions, encoded as (count, output_size)."""
    outputs, instance = torch.as_tensor(solutions, dtype=torch.float64), data.sets["train"][1].double()
    return objective.costs(outputs[:, None], instance).min().item()


def permutations(n):
    return list(itertools.permutations(range(n)))


def subsets(n):
    return [[2 * bit - 1 for bit in bits] for bits in itertools.product((0, 1), repeat=n)]


@few
@given(seed=seeds, cities=st.integers(2, 7))
def test_no_tour_is_shorter(seed, cities):
    data, objective = parts("tsp", "tour_length", cities=cities, instance_seed=seed)
    proof = tsp.solve(data.sets["train"][1][0].double().numpy(), 30)
    assert proof.optimal
    assert proof.bound == pytest.approx(lowest(objective, data, permutations(cities)), rel=1e-9)


@few
@given(seed=seeds, items=st.integers(1, 10), correlation=st.sampled_from(["none", "weak", "strong"]))
def test_no_knapsack_is_worth_more(seed, items, correlation):
    data, objective = parts("knapsack", "packed_value", items=items, instance_seed=seed, correlation=correlation)
    objective.repair = "penalty"  # all subsets, as they are
    proof = knapsack.solve(data.sets["train"][1][0].double().numpy(), 30)
    assert proof.optimal
    assert proof.bound == lowest(objective, data, subsets(items))


@few
@given(seed=st.integers(1, 2**31 - 2), jobs=st.integers(1, 5), machines=st.integers(1, 4))
def test_no_order_of_jobs_is_faster(seed, jobs, machines):
    data, objective = parts("flow_shop", "makespan", jobs=jobs, machines=machines, instance_seed=seed)
    proof = flow_shop.solve(data.sets["train"][1][0].double().numpy(), 30)
    assert proof.optimal
    assert proof.bound == lowest(objective, data, permutations(jobs))


@few
@given(seed=seeds, penalty=st.sampled_from([None, 30.0]))
def test_no_pairings_are_cheaper(seed, penalty):
    data, objective = parts(
        "set_partitioning", "crew_cost", flights=6, pairings=10, instance_seed=seed, penalty=penalty
    )
    objective.decode = "threshold"
    proof = set_partitioning.solve(data.sets["train"][1][0].double().numpy(), 30)
    assert proof.optimal
    assert proof.bound == pytest.approx(lowest(objective, data, subsets(10)), rel=1e-9)


def boxes(columns, fewest):
    """The rows of every box that has enough of them, by brute force over two variables and two factors."""
    ways = []
    for values in columns.T:
        distinct = np.unique(values)
        if values.min() >= 2:
            chosen = [s for k in range(1, len(distinct) + 1) for s in itertools.combinations(distinct, k)]
            ways.append([np.isin(values, s) for s in chosen])
        else:
            pairs = itertools.combinations_with_replacement(distinct, 2)
            ways.append([(low <= values) & (values <= high) for low, high in pairs])
    for way in itertools.product(*ways):
        inside = np.logical_and.reduce(way)
        if inside.sum() >= fewest:
            yield inside


@settings(few, max_examples=8)
@given(seed=seeds, fewest=st.integers(1, 4))
def test_no_box_has_fewer_zeros(seed, fewest):
    random = np.random.default_rng(seed)
    numbers, codes = random.random((8, 2)).round(1), random.integers(2, 5, (8, 2))
    numbers[random.random((8, 2)) < 0.5] = 0
    columns = np.column_stack([numbers, codes])
    zeros = (numbers == 0).sum(axis=1) + (codes == 2).sum(axis=1)
    instance = np.column_stack([columns, zeros, np.full(8, fewest)])
    proof = cluster_zeros.solve(instance, 60)
    assert proof.optimal
    assert proof.bound == pytest.approx(min(zeros[inside].mean() / 4 for inside in boxes(columns, fewest)))


@pytest.mark.parametrize(
    ("problem", "objective"),
    [
        ("tsp", "tour_length"),
        ("knapsack", "packed_value"),
        ("flow_shop", "makespan"),
        ("set_partitioning", "crew_cost"),
        ("cluster_zeros", "share_of_zeros"),
    ],
)
def test_without_time_there_is_a_bound_that_no_solution_falls_below(problem, objective):
    data, objective = parts(problem, objective, time_limit=0)
    bound = data.spec.reference
    assert not bound.proven
    solutions = torch.randn((500, data.spec.output_size), generator=torch.Generator().manual_seed(0))
    assert bound.value <= lowest(objective, data, solutions)


def test_the_relaxation_of_a_large_tour_is_not_attempted_but_bounded():
    data, objective = parts("tsp", "tour_length", cities=tsp.LARGEST + 1)
    reference = data.spec.reference
    assert not reference.proven
    assert 0 < reference.value <= lowest(objective, data, torch.randn(50, tsp.LARGEST + 1))


@pytest.mark.parametrize(("jobs", "shortest"), [(8, True), (flow_shop.LARGEST + 1, False)])
def test_schedules_are_solved_up_to_a_size_and_bounded_beyond(jobs, shortest):
    data, _ = parts("flow_shop", "makespan", jobs=jobs, machines=3)
    assert data.spec.reference.proven is shortest


# -- what is kept -----------------------------------------------------------------------------------------------------


class Counting:
    """A solver that counts how often it is asked."""

    def __init__(self, optimal):
        self.optimal, self.limits = optimal, []

    def __call__(self, instance, time_limit):
        self.limits.append(time_limit)
        return Proof(float(instance.sum()), self.optimal)


INSTANCE = np.ones((2, 2), dtype=np.float32)


def test_a_proof_is_sought_once():
    solver = Counting(optimal=True)
    for limit in (1.0, 5.0):
        assert Yardstick(solver, INSTANCE, limit).reference.value == 4
    assert solver.limits == [1.0]
    Yardstick(solver, INSTANCE + 1, 1.0).reference  # noqa: B018, another instance
    assert len(solver.limits) == 2


def test_a_bound_is_sought_again_when_there_is_more_time(caplog):
    solver = Counting(optimal=False)
    for limit in (2.0, 1.0, 2.0, 3.0):
        yardstick = Yardstick(solver, INSTANCE, limit)
        assert not yardstick.reference.proven
    assert solver.limits == [2.0, 3.0]
    assert "No solution was proven optimal within 3 s: gap is the distance to the bound 4" in caplog.text


def test_a_file_of_the_cache_that_is_not_whole_is_written_anew():
    solver = Counting(optimal=True)
    Yardstick(solver, INSTANCE, 1.0).reference  # noqa: B018
    (file,) = reference.cache().glob("*.json")
    file.write_text("{")
    Yardstick(solver, INSTANCE, 1.0).reference  # noqa: B018
    assert len(solver.limits) == 2
    assert json.loads(file.read_text())["proof"] == {"bound": 4.0, "optimal": True}


def test_without_a_place_for_the_cache_it_is_solved_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert Yardstick(Counting(optimal=True), INSTANCE, 1.0).reference.value == 4


def test_the_best_value_known_takes_the_solvers_place_and_is_no_proof():
    solver = Counting(optimal=True)
    found = Yardstick(solver, INSTANCE, 1.0, best_known=7).reference
    assert (found.value, found.proven) == (7, False)
    assert not solver.limits


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"time_limit": -1.0}, "dataset.time_limit must be at least 0, but is -1"),
        ({"time_limit": float("nan")}, "dataset.time_limit .* is nan"),
        ({"time_limit": 1.0, "best_known": 0.0}, "dataset.best_known must not be 0"),
        ({"time_limit": 1.0, "best_known": float("inf")}, "dataset.best_known .* is inf"),
    ],
)
def test_bad_settings_are_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        Yardstick(Counting(optimal=True), INSTANCE, **settings)
