"""Solutions are decoded, and cost, what the problems say; instances are drawn and read as documented."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hybridopt_combinatorial.cluster_zeros import cluster_zeros
from hybridopt_combinatorial.crew_cost import CrewCost
from hybridopt_combinatorial.exact.flow_shop import machine_bound, makespan
from hybridopt_combinatorial.flow_shop import flow_shop
from hybridopt_combinatorial.knapsack import knapsack
from hybridopt_combinatorial.makespan import Makespan
from hybridopt_combinatorial.packed_value import PackedValue
from hybridopt_combinatorial.reference import Reference
from hybridopt_combinatorial.set_partitioning import set_partitioning
from hybridopt_combinatorial.share_of_zeros import ShareOfZeros
from hybridopt_combinatorial.solution import Solution
from hybridopt_combinatorial.tour_length import TourLength
from hybridopt_combinatorial.tsp import tsp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridopt import ConfigError, DataError, DataSpec
from hybridopt.composition import building

some = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 2**32 - 1)
PROBLEMS = {
    "tsp": "tour_length",
    "knapsack": "packed_value",
    "flow_shop": "makespan",
    "set_partitioning": "crew_cost",
    "cluster_zeros": "share_of_zeros",
}


def instance_of(data):
    return data.sets["train"][1]


def random_outputs(data, seed, population=20):
    return torch.randn((population, 1, data.spec.output_size), generator=torch.Generator().manual_seed(seed))


def keys_of(order):
    """Keys whose order is this one."""
    return torch.tensor(order).argsort().float()


def cost(objective, data, outputs):
    return objective.loss(torch.as_tensor(outputs, dtype=torch.float32)[None], instance_of(data)).item()


# -- what all have in common ------------------------------------------------------------------------------------------


@pytest.fixture(params=PROBLEMS)
def problem(request):
    data = building.build("dataset", {"name": request.param, "time_limit": 0})
    return data, building.build("objective", {"name": PROBLEMS[request.param]}, spec=data.spec)


def test_a_population_costs_what_its_members_cost(problem):
    data, objective = problem
    outputs, batch = random_outputs(data, 0), data.sets["train"]
    together = objective.losses(outputs, batch[1])
    alone = torch.stack([objective.loss(member, batch[1]) for member in outputs])
    assert together.shape == (20,)
    assert torch.equal(together, alone)
    assert len(together.unique()) > 1


def test_two_instances_in_one_batch_are_two_problems(problem):
    data, objective = problem
    outputs, instance = random_outputs(data, 0, population=2), instance_of(data)
    pair = objective.loss(outputs[:, 0], torch.cat([instance, instance]))
    assert pair == pytest.approx(objective.losses(outputs, instance).mean().item(), rel=1e-6)


def test_a_value_that_is_not_a_number_is_a_failure_and_stays_one_members(problem):
    data, objective = problem
    outputs = random_outputs(data, 0)
    before = objective.losses(outputs, data.sets["train"][1])
    outputs[3, 0, 1] = math.nan
    after = objective.losses(outputs, data.sets["train"][1])
    assert after[3] == math.inf
    assert torch.equal(after[torch.arange(20) != 3], before[torch.arange(20) != 3])


def test_the_gap_is_the_relative_distance_to_the_reference(problem):
    data, objective = problem
    outputs, instance = random_outputs(data, 0)[0], instance_of(data)
    metrics = objective.metrics(data.spec)
    metrics.update(outputs, instance)
    told, reference = metrics.compute(), data.spec.reference
    expected = (objective.loss(outputs, instance).item() - reference.value) / abs(reference.value)
    assert told["gap"].item() == pytest.approx(expected, rel=1e-5)
    assert told["gap"] >= 0
    assert told["proven"] == reference.proven


def test_training_validation_and_test_are_the_instance_and_a_batch_is_one_forward(problem):
    data, _ = problem
    for inputs, targets in data.sets.values():
        assert inputs.shape == (1, *data.spec.input_shape)
        assert torch.equal(inputs, targets)
        assert torch.equal(inputs, data.sets["train"][0])


def test_the_same_seed_draws_the_same_instance_and_another_one_another(problem):
    data, _ = problem
    drawn = [
        instance_of(building.build("dataset", {"name": data.spec.task, "time_limit": 0, "instance_seed": seed}))
        for seed in (5, 5, 6)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_an_objective_refuses_data_that_is_no_instance(problem):
    _, objective = problem
    with pytest.raises(ConfigError, match=r"needs a data set that is an instance of its problem.*choose dataset="):
        objective.metrics(DataSpec((4,), 3, "classification"))


def test_the_model_is_its_outputs_in_units_of_its_scale(problem):
    data, _ = problem
    torch.manual_seed(0)
    model = Solution(data.spec, scale=0.5)
    ((name, value),) = model.named_parameters()
    assert name == data.spec.parameter
    assert value.shape == (data.spec.output_size,)
    outputs = model(torch.zeros(3, 2))
    assert torch.equal(outputs, (value / 0.5).expand(3, -1))


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ConfigError, match=r"model\.scale must be a positive number"):
        Solution(DataSpec((1,), 2, "tsp"), scale)


# -- tours ------------------------------------------------------------------------------------------------------------


@some
@given(seed=seeds, cities=st.integers(2, 30), shift=st.integers(0, 29))
def test_a_tour_is_as_long_from_any_city_and_the_other_way_around(seed, cities, shift):
    data = tsp(cities=cities, instance_seed=seed)
    order = np.random.default_rng(seed).permutation(cities)
    length = cost(TourLength(), data, keys_of(order))
    assert cost(TourLength(), data, keys_of(np.roll(order, shift))) == pytest.approx(length, rel=1e-5)
    assert cost(TourLength(), data, keys_of(order[::-1].copy())) == pytest.approx(length, rel=1e-5)
    legs = instance_of(data)[0].numpy()[order, np.roll(order, -1)]
    assert length == pytest.approx(legs.sum(), rel=1e-5)


def test_cities_are_uniform_in_the_unit_square():
    distances = instance_of(tsp(cities=400))
    others = distances[0][~torch.eye(400, dtype=torch.bool)]
    assert others.mean() == pytest.approx(0.5214, abs=0.02)  # the mean distance of two points in the unit square
    assert others.max() < math.sqrt(2)


def test_a_tour_is_told_by_the_cities_own_numbers(tmp_path):
    (tmp_path / "x.tsp").write_text(
        "DIMENSION : 3\nEDGE_WEIGHT_TYPE : EUC_2D\nNODE_COORD_SECTION\n7 0 0\n9 0 5\n8 5 0\nEOF\n"
    )
    data = tsp(path=str(tmp_path / "x.tsp"))
    told = TourLength().answer(keys_of([2, 0, 1]), instance_of(data)[0], data.spec)
    assert told == {"tour": [8, 7, 9]}


# -- knapsacks --------------------------------------------------------------------------------------------------------


@some
@given(seed=seeds, items=st.integers(1, 40), fill=st.floats(0.01, 1), shift=st.floats(-2, 3))
def test_a_repaired_knapsack_is_never_too_heavy_and_keeps_what_fits(seed, items, fill, shift):
    data = knapsack(items=items, fill=fill, instance_seed=seed)
    outputs, instance = random_outputs(data, seed) + shift, instance_of(data)
    (values, weights, capacity) = instance[0]
    packed = PackedValue().packed(outputs, instance)
    loads = (packed * weights).sum(dim=-1)
    assert (loads <= capacity[0]).all()
    assert not (packed & ~(outputs > 0)).any()
    fitting = ((outputs > 0) * weights).sum(dim=-1) <= capacity[0]
    assert torch.equal(packed[fitting], (outputs > 0)[fitting])
    assert torch.equal(PackedValue().costs(outputs, instance), -(packed * values).sum(dim=-1))


def test_repair_unpacks_the_lowest_value_per_weight_first(tmp_path):
    (tmp_path / "x.txt").write_text("4 10\n10 5\n3 3\n8 4\n1 3\n")
    data = knapsack(path=str(tmp_path / "x.txt"))
    told = PackedValue().answer(torch.ones(4), instance_of(data)[0], data.spec)
    assert told == {"items": [1, 3], "value": 18.0, "weight": 9.0}
    assert cost(PackedValue(), data, torch.tensor([-1.0, 1, -1, 1])) == -4


def test_a_penalised_knapsack_costs_its_overweight_and_is_worse_than_an_empty_one(tmp_path):
    (tmp_path / "x.txt").write_text("2 10\n10 9\n10 6\n")
    data = knapsack(path=str(tmp_path / "x.txt"))
    objective = PackedValue(repair="penalty")
    assert cost(objective, data, [1.0, 1.0]) == pytest.approx(0.5)
    assert cost(objective, data, [-1.0, -1.0]) == 0
    assert cost(objective, data, [1.0, -1.0]) == -10


@pytest.mark.parametrize(
    ("correlation", "least", "most"), [("none", -999, 999), ("weak", -100, 100), ("strong", 100, 100)]
)
def test_values_are_correlated_with_weights_as_asked(correlation, least, most):
    values, weights, capacity = instance_of(knapsack(items=500, correlation=correlation, fill=0.25))[0]
    surplus = values - weights
    assert ((least <= surplus) & (surplus <= most)).all()
    assert surplus.unique().numel() > 50 or correlation == "strong"
    assert (weights.min() >= 1) & (weights.max() <= 1000) & (values.min() >= 1)
    assert capacity.unique().item() == math.floor(0.25 * weights.sum())


# -- schedules --------------------------------------------------------------------------------------------------------


@some
@given(seed=st.integers(1, 2**31 - 2), jobs=st.integers(1, 15), machines=st.integers(1, 8))
def test_makespans_are_those_of_the_textbook_recursion(seed, jobs, machines):
    data = flow_shop(jobs=jobs, machines=machines, instance_seed=seed)
    outputs, instance = random_outputs(data, seed % 2**31), instance_of(data)
    times = instance[0].numpy()
    expected = [makespan(times[:, keys.argsort(stable=True).numpy()]) for keys in outputs[:, 0]]
    assert Makespan().costs(outputs, instance)[:, 0].tolist() == expected


def test_the_default_is_taillards_first_instance():
    times = instance_of(flow_shop())[0]
    assert times[0].tolist() == [54, 83, 15, 71, 77, 36, 53, 38, 27, 87, 76, 91, 14, 29, 12, 77, 32, 87, 68, 94]
    assert times[4, -4:].tolist() == [87, 58, 18, 68, 28][1:]
    assert machine_bound(times.numpy()) == 1232  # the bounds that Taillard's file has
    assert flow_shop().spec.reference == Reference(1278, proven=False)
    assert flow_shop(best_known=1300).spec.reference.value == 1300


HEAD = "number of jobs, number of machines, initial seed, upper bound and lower bound :\n"


@pytest.mark.parametrize(
    "text",
    [
        HEAD + " 3 2 873654221 1278 1232\nprocessing times :\n 1 2 3\n 4 5 6\n",
        HEAD
        + " 3 2 873654221 1278 1232\nprocessing times :\n 1 2 3\n 4 5 6\n"
        + HEAD
        + " 1 1 5 9 9\nprocessing times :\n 9\n",
        "3 2\n1 2 3\n4 5 6\n",
    ],
)
def test_files_of_schedules_are_read_with_captions_and_without(tmp_path, text):
    (tmp_path / "x.fsp").write_text(text)
    assert instance_of(flow_shop(path=str(tmp_path / "x.fsp")))[0].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_schedule_is_told_by_the_jobs_numbers():
    data = flow_shop(jobs=3)
    assert Makespan().answer(keys_of([2, 0, 1]), instance_of(data)[0], data.spec) == {"jobs": [3, 1, 2]}


# -- pairings ---------------------------------------------------------------------------------------------------------


@some
@given(seed=seeds, flights=st.integers(2, 15))
def test_pairings_taken_in_order_overlap_nowhere_and_leave_none_that_fits(seed, flights):
    data = set_partitioning(flights=flights, pairings=2 * flights + 5, instance_seed=seed)
    outputs, instance = random_outputs(data, seed), instance_of(data)
    chosen = CrewCost().chosen(outputs, instance)[:, 0]
    flown = instance[0, 1:, :-1]
    covered = chosen @ flown.T
    assert covered.max() <= 1
    for member, keys, took in zip(covered, outputs[:, 0], chosen, strict=True):
        assert not any(bool((member[legs > 0] == 0).all()) for legs in flown.T)
        naive, free = [], torch.ones(flights)
        for pairing in keys.argsort(descending=True).tolist():
            if (free[flown[:, pairing] > 0] == 1).all():
                naive.append(pairing)
                free[flown[:, pairing] > 0] = 0
        assert took.nonzero()[:, 0].tolist() == sorted(naive)


def test_what_is_not_flown_once_has_its_price(tmp_path):
    (tmp_path / "x.txt").write_text("3 3\n 5 2 1 2\n 7 2 2 3\n 4 1 3\n")
    data = set_partitioning(path=str(tmp_path / "x.txt"), penalty=100)
    threshold = CrewCost(decode="threshold")
    assert cost(threshold, data, [1, -1, 1]) == 9
    assert cost(threshold, data, [1, 1, -1]) == 112  # flight 2 by two crews
    assert cost(threshold, data, [-1, 1, 1]) == 211  # flight 3 by two, flight 1 by none
    assert cost(CrewCost(), data, [3, 2, 1]) == 9  # the second has a flight in common with the first
    told = threshold.answer(torch.tensor([-1.0, 1, 1]), instance_of(data)[0], data.spec)
    assert told == {"pairings": [2, 3], "uncovered": [1], "overcovered": [3]}
    metrics = threshold.metrics(data.spec)
    metrics.update(torch.tensor([[-1.0, 1, 1]]), instance_of(data))
    assert metrics.compute()["astray"] == 2
    assert data.spec.reference.value == 9


@settings(some, max_examples=10)
@given(seed=seeds, flights=st.integers(2, 14))
def test_what_is_drawn_can_be_partitioned(seed, flights):
    data = set_partitioning(flights=flights, pairings=4 * flights, instance_seed=seed)
    instance = instance_of(data)[0]
    sizes = instance[1:, :-1].sum(dim=0)
    assert ((sizes >= 2) & (sizes <= 5)).all()
    assert instance[0, -1] == 2 * instance[0, :-1].max()
    assert data.spec.reference.value < flights * 150 * 1.25 + 100 * 1.25 * flights / 2 + 1  # no flight is left


# -- clusters ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    rows = {"size": [0, 1, 2, 3, 0, 5], "kind": ["0", "a", "b", "a", "a", "0"]}
    pd.DataFrame(rows).to_csv(tmp_path / "x.csv", index=False)
    return cluster_zeros(path=str(tmp_path / "x.csv"), least_share=0.3)


def outputs_for(low, high, *levels):
    """Ranks and levels as the objective takes them."""
    ends = torch.special.ndtri(torch.tensor([low, high])) + torch.tensor([2.0, -2.0])
    return torch.cat([ends, torch.tensor(levels, dtype=torch.float32) * 4 - 3])


@pytest.mark.parametrize(
    ("outputs", "share", "rows"),
    [
        (torch.zeros(5), 4 / 12, [1, 2, 3, 4, 5, 6]),
        (outputs_for(0.4, 0.99, 1, 1, 1), 1 / 8, [2, 3, 4, 6]),  # sizes above 0
        (outputs_for(0.99, 0.4, 1, 1, 1), 1 / 8, [2, 3, 4, 6]),  # the ends in the other order
        (outputs_for(0.4, 0.99, 0, 1, 1), 0.0, [2, 3, 4]),
        (outputs_for(0.4, 0.99, 0, 0, 1), 1 + 1 / 2, [3]),  # two rows of six are the fewest
        (torch.cat([torch.zeros(2), torch.tensor([-9.0, -2, -3])]), 1 / 6, [2, 4, 5]),  # one level always stays
    ],
)
def test_a_box_leaves_the_rows_inside_and_costs_their_zeros(table, outputs, share, rows):
    objective = ShareOfZeros(table.spec)
    assert cost(objective, table, outputs) == pytest.approx(share)
    assert objective.answer(outputs, instance_of(table)[0], table.spec)["rows"] == rows


def test_a_box_is_told_in_the_tables_own_values(table):
    told = ShareOfZeros(table.spec).answer(outputs_for(0.4, 0.8, 0, 1, 1), instance_of(table)[0], table.spec)
    assert told["columns"] == {"size": [1, 3], "kind": ["a", "b"]}


def test_half_of_each_column_is_zero_and_the_rest_as_the_question_has_it():
    data = cluster_zeros(rows=1000, levels=3)
    factors = [is_factor for is_factor, _ in data.spec.legend.values()]
    assert factors == [False] * 5 + [True] * 5
    instance = instance_of(data)[0]
    assert instance[:, -2].sum() == 5000
    assert instance[0, -1] == 50
    for is_factor, values in data.spec.legend.values():
        assert values[0] == ("0" if is_factor else 0)
        assert len(values) == (4 if is_factor else 501)
    first, second = (np.array(data.spec.legend[f"variable_{i}"][1][1:]) for i in (1, 2))
    assert (first.mean(), first.std()) == (pytest.approx(10, abs=0.2), pytest.approx(1, abs=0.2))
    assert (second.mean(), second.std()) == (pytest.approx(10, abs=0.8), pytest.approx(5, abs=0.6))


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plugin", "settings", "says"),
    [
        (tsp, {"cities": 1}, r"dataset\.cities must be at least 2, but is 1"),
        (tsp, {"instance_seed": -1}, r"dataset\.instance_seed must be between 0 and 4294967295, but is -1"),
        (knapsack, {"items": 0}, r"dataset\.items must be at least 1"),
        (knapsack, {"fill": 0.0}, r"dataset\.fill must lie in \(0, 1\], but is 0"),
        (flow_shop, {"jobs": 0}, r"dataset\.jobs must be at least 1"),
        (flow_shop, {"instance_seed": 0}, r"dataset\.instance_seed must be between 1 and 2147483646, but is 0"),
        (set_partitioning, {"flights": 10, "pairings": 5}, r"dataset\.pairings must be at least 6, but is 5"),
        (set_partitioning, {"penalty": 0.0}, r"dataset\.penalty must be a positive number, but is 0"),
        (cluster_zeros, {"rows": 1}, r"dataset\.rows must be at least 2"),
        (cluster_zeros, {"least_share": 1.5}, r"dataset\.least_share must lie in \(0, 1\], but is 1\.5"),
        (PackedValue, {"repair": "hope"}, r"objective\.repair must be one of greedy, penalty, but is 'hope'"),
        (CrewCost, {"decode": "hope"}, r"objective\.decode must be one of greedy, threshold, but is 'hope'"),
    ],
)
def test_a_bad_setting_is_refused_in_one_sentence(plugin, settings, says):
    with pytest.raises(ConfigError, match=says):
        plugin(**settings)


@pytest.mark.parametrize(
    ("plugin", "text", "says"),
    [
        (knapsack, "2 10\n1 2\n", "ends too early: it must have 4 numbers for the values and weights of 2 items"),
        (knapsack, "2 10\n1 2\n3 x\n", "has '3 x' in line 3, where numbers are expected"),
        (knapsack, "1 10\n1 2\n3 4\n", "goes on after 1 items, with 2 numbers"),
        (knapsack, "1.5 10\n1 2\n", "must have a whole number of 1 or more for the number of items, but has 1.5"),
        (knapsack, "1 10\n1 0\n", "must have a capacity and weights above 0"),
        (knapsack, "1 10\n5 11\n", "has no item of value that fits"),
        (knapsack, "1 inf\n1 2\n", "infinite or not a number"),
        (flow_shop, "2 2\n1 2\n3\n", "it must have 4 numbers for the times of 2 jobs on 2 machines, but has 3"),
        (flow_shop, "2 1\n1 -2\n", "must have processing times of 0 or more"),
        (set_partitioning, "2 1\n5 2 1 3\n", "different flights from 1 to 2, but gives 1, 3"),
        (set_partitioning, "2 1\n5 2 1 1\n", "different flights from 1 to 2, but gives 1, 1"),
        (set_partitioning, "2 1\n-5 1 1\n", "must have costs of 0 or more"),
        (cluster_zeros, "a,b\n1,2\n", "must have at least two rows, but has 1"),
        (cluster_zeros, "a,b\n1,\n2,3\n", "missing values in column 'b'"),
        (cluster_zeros, "", "cannot be read as a .csv table"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path, plugin, text, says):
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(DataError) as refused:
        plugin(path=str(tmp_path / "bad.txt"))
    assert says in str(refused.value)
    assert "bad.txt" in str(refused.value)


@pytest.mark.parametrize("plugin", [knapsack, flow_shop, set_partitioning, cluster_zeros])
def test_a_file_that_is_not_there(tmp_path, plugin):
    with pytest.raises(DataError, match=r"missing\.txt cannot be read"):
        plugin(path=str(tmp_path / "missing.txt"))
