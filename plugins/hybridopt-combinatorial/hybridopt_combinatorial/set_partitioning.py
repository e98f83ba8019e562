"""Airline crew pairing as set partitioning: pairings drawn at random, or a file of the OR-Library."""

from __future__ import annotations

import numpy as np

from hybridopt import DataError, TensorDataModule
from hybridopt.toolbox import ranges
from hybridopt_combinatorial.exact.set_partitioning import solve
from hybridopt_combinatorial.problem import NO_SPLIT, check_generated, instance_data
from hybridopt_combinatorial.tables import Numbers

LEGS = (2, 5)  # the fewest and the most flights of a pairing that is drawn


def set_partitioning(
    path: str | None = None,
    flights: int = 30,
    pairings: int = 200,
    penalty: float | None = None,
    instance_seed: int = 0,
    best_known: float | None = None,
    time_limit: float = 60.0,
) -> TensorDataModule:
    """Airline set partitioning: the cheapest pairings that fly each flight once, drawn or from an OR-Library file.

    A pairing has 2 to 5 flights, and costs 100 for the crew's day and from 50 to 150 for each flight (all uniform); the
    costs are whole numbers. Some of them are pieces of one random partition, so that there is one; they are at most a
    quarter more expensive than the others. What is not flown once has its price: a flight that no pairing covers is
    flown by a reserve crew, and in a flight that is covered again a crew travels as passengers.

    Args:
        path: a file of the OR-Library (Beasley 1990): flights and pairings, then for each pairing its cost, the number
            of its flights, and these. None draws an instance.
        flights: how many rows are drawn.
        pairings: how many columns are drawn.
        penalty: the cost of a flight uncovered, and of each time that one is covered too often; None takes twice the
            cost of the most expensive pairing.
        instance_seed: fixes the draw.
        best_known: the cost that gaps are measured to; None solves for the optimum.
        time_limit: seconds that this may take, after which the gap is measured to a bound.

    Returns:
        One instance (1 + flights, pairings + 1) for training, validation and test alike: costs, then which pairing
        flies which flight; the last column holds the penalty, and ones.

    Raises:
        ConfigError: a setting is out of range.
        DataError: the file cannot be read as a set partitioning problem.
    """
    check_generated(instance_seed, flights=(flights, 2), pairings=(pairings, flights // LEGS[0] + 1))
    ranges.positive("dataset", penalty=penalty)
    costs, flown = draw(flights, pairings, instance_seed) if path is None else read(path)
    instance = np.ones((1 + len(flown), len(costs) + 1))
    instance[0, :-1], instance[0, -1] = costs, penalty or 2 * costs.max()
    instance[1:, :-1] = flown
    return instance_data("set_partitioning", instance, len(costs), "keys", solve, time_limit, best_known)


set_partitioning.conformance = {"expected_failures": {"splits_disjoint": NO_SPLIT}}


def draw(flights: int, pairings: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Costs (pairings,), and which pairing flies which flight (flights, pairings)."""
    random = np.random.default_rng(seed)
    planted = pieces(random.permutation(flights), random)
    free = pairings - len(planted)
    sizes = np.minimum(random.integers(*LEGS, free, endpoint=True), flights)
    sets = [*planted, *(random.choice(flights, size, replace=False) for size in sizes)]
    flown = np.zeros((flights, pairings))
    for column, legs in enumerate(sets):
        flown[legs, column] = 1
    costs = 100 + (flown * random.integers(50, 150, flown.shape, endpoint=True)).sum(axis=0)
    costs[: len(planted)] = np.round(costs[: len(planted)] * random.uniform(1, 1.25, len(planted)))
    order = random.permutation(pairings)
    return costs[order], flown[:, order]


def pieces(order: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    """Cut into pieces of a pairing's size, none of them a single flight."""
    found = []
    while len(order) > LEGS[1]:
        size = min(random.integers(*LEGS, endpoint=True), len(order) - LEGS[0])
        found.append(order[:size])
        order = order[size:]
    return [*found, order]


def read(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Costs (pairings,), and which pairing flies which flight (flights, pairings)."""
    numbers = Numbers(path)
    flights, pairings = numbers.whole("the number of flights"), numbers.whole("the number of pairings")
    costs, flown = np.zeros(pairings), np.zeros((flights, pairings))
    for column in range(pairings):
        costs[column] = numbers.take(1, f"the cost of pairing {column + 1}")[0]
        count = numbers.whole(f"the number of flights of pairing {column + 1}")
        legs = numbers.take(count, f"the flights of pairing {column + 1}")
        if not (np.isin(legs, np.arange(1, flights + 1)).all() and len(set(legs)) == count):
            raise DataError(
                f"{numbers.file} must give pairing {column + 1} different flights from 1 to {flights}, but gives "
                f"{', '.join(f'{leg:g}' for leg in legs)}."
            )
        flown[legs.astype(int) - 1, column] = 1
    numbers.finish(f"{pairings} pairings")
    if not ((costs >= 0).all() and costs.any()):
        raise DataError(f"{numbers.file} must have costs of 0 or more, not all of them 0.")
    return costs, flown
