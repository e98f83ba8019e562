"""What is tried before a metaheuristic: greedy construction, and local search from many starts.

- Travelling salesman: nearest neighbour; 2-opt (Croes 1958, https://doi.org/10.1287/opre.6.6.791).
- Knapsack: by value per weight (Dantzig 1957, https://doi.org/10.1287/opre.5.2.266); items in, out, and exchanged.
- Flow shop: NEH (Nawaz, Enscore & Ham 1983, https://doi.org/10.1016/0305-0483(83)90088-9); insertion of jobs.
- Set partitioning: by cost per flight; pairings in, out, and exchanged.

A local search takes the best neighbour until none is better, from the greedy solution first and then from random ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Classical:
    """The classical ways to solve a problem.

    Args:
        greedy: instance -> a solution.
        start: (instance, generator) -> a random solution, to start from.
        cost: (instance, solution) -> its cost.
        improve: (instance, solution) -> its best neighbour; None where none is better.
    """

    greedy: Callable[[np.ndarray], np.ndarray]
    start: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    cost: Callable[[np.ndarray, np.ndarray], float]
    improve: Callable[[np.ndarray, np.ndarray], np.ndarray | None]


def local_search(problem: Classical, instance: np.ndarray, seconds: float, seed: int) -> float:
    """The lowest cost of local optima, from the greedy solution and from random ones, until the time is up.

    Args:
        problem: how to solve it.
        instance: as the data set has it.
        seconds: after which no further step is taken.
        seed: of the random starts.
    """
    generator, end = np.random.default_rng(seed), time.monotonic() + seconds
    solution, best = problem.greedy(instance), np.inf
    while True:
        better: np.ndarray | None = solution
        while better is not None and time.monotonic() < end:
            solution = better
            better = problem.improve(instance, solution)
        best = min(best, problem.cost(instance, solution))
        if time.monotonic() >= end:
            return best
        solution = problem.start(instance, generator)


# -- travelling salesman: instance (n, n), a solution is an order of cities -------------------------------------------


def nearest_neighbour(distances: np.ndarray) -> np.ndarray:
    """From the first city always to the nearest one that is left."""
    tour, left = [0], set(range(1, len(distances)))
    while left:
        tour.append(min(left, key=lambda city: distances[tour[-1], city]))
        left.remove(tour[-1])
    return np.array(tour)


def length(distances: np.ndarray, tour: np.ndarray) -> float:
    """Of the round trip."""
    return float(distances[tour, np.roll(tour, -1)].sum())


def two_opt(distances: np.ndarray, tour: np.ndarray) -> np.ndarray | None:
    """The tour with the part turned around that shortens it most."""
    here = distances[np.ix_(tour, tour)]
    after = np.roll(tour, -1)
    legs = distances[tour, after]
    gains = here + distances[np.ix_(after, after)] - legs[:, None] - legs
    gains[np.tril_indices(len(tour), k=1)] = 0
    i, j = np.unravel_index(gains.argmin(), gains.shape)
    if gains[i, j] > -1e-9:
        return None
    return np.concatenate([tour[: i + 1], tour[i + 1 : j + 1][::-1], tour[j + 1 :]])


# -- flow shop: instance (machines, jobs), a solution is an order of jobs ---------------------------------------------


def makespans(times: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Orders (k, jobs) -> when each is done (k,)."""
    done = np.zeros((len(times), len(orders)))
    for job in orders.T:
        ready = np.zeros(len(orders))
        for machine, of in enumerate(times):
            ready = done[machine] = np.maximum(ready, done[machine]) + of[job]
    return done[-1]


def neh(times: np.ndarray) -> np.ndarray:
    """The longest jobs first, each where it prolongs the schedule least."""
    order: np.ndarray = np.zeros(0, dtype=int)
    for job in np.argsort(-times.sum(axis=0), kind="stable"):
        orders = np.array([np.insert(order, place, job) for place in range(len(order) + 1)])
        order = orders[makespans(times, orders).argmin()]
    return order


def insertion(times: np.ndarray, order: np.ndarray) -> np.ndarray | None:
    """The order with the job elsewhere that shortens it most."""
    n = len(order)
    orders = np.array([np.insert(np.delete(order, i), j, order[i]) for i in range(n) for j in range(n) if i != j])
    spans = makespans(times, orders)
    best = spans.argmin()
    return orders[best] if spans[best] < makespans(times, order[None])[0] else None


# -- subsets: a solution is what is chosen (n,) of booleans ----------------------------------------------------------


def by_ratio(instance: np.ndarray, ratios: np.ndarray | None = None) -> np.ndarray:
    """Items (3, n) from the highest value per weight downwards, each one that fits."""
    values, weights, (capacity, *_) = instance
    chosen = np.zeros(len(values), dtype=bool)
    for item in np.argsort(-(values / weights if ratios is None else ratios), kind="stable"):
        if weights[item] <= capacity:
            chosen[item] = True
            capacity -= weights[item]
    return chosen


def packed_cost(instance: np.ndarray, chosen: np.ndarray) -> float:
    """Minus the value."""
    return -float(instance[0] @ chosen)


def repacked(instance: np.ndarray, chosen: np.ndarray) -> np.ndarray | None:
    """With the item in, or the exchange of one for another, that adds most value and fits."""
    values, weights, (capacity, *_) = instance
    room = capacity - weights @ chosen
    inside, outside = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    if not len(outside):
        return None
    out = np.append(inside, -1)  # the last row takes nothing out
    gained = np.where(out >= 0, values[out], 0)[:, None]
    freed = np.where(out >= 0, weights[out], 0)[:, None]
    gains = np.where(weights[outside] - freed <= room, values[outside] - gained, -np.inf)
    i, j = np.unravel_index(gains.argmax(), gains.shape)
    return flipped(chosen, int(out[i]), int(outside[j])) if gains[i, j] > 0 else None


def by_price(instance: np.ndarray, prices: np.ndarray | None = None) -> np.ndarray:
    """Pairings from the cheapest per flight upwards, each one that has no flight in common with those taken."""
    flown = instance[1:, :-1]
    prices = instance[0, :-1] / flown.sum(axis=0) if prices is None else prices
    chosen, covered = np.zeros(len(prices), dtype=bool), np.zeros(len(flown))
    for pairing in np.argsort(prices, kind="stable"):
        if not covered @ flown[:, pairing]:
            chosen[pairing] = True
            covered += flown[:, pairing]
    return chosen


def crew_cost(instance: np.ndarray, chosen: np.ndarray) -> float:
    """Of pairings, and of flights that are not flown once."""
    return float(instance[0, :-1] @ chosen + instance[0, -1] * np.abs(instance[1:, :-1] @ chosen - 1).sum())


def rostered(instance: np.ndarray, chosen: np.ndarray) -> np.ndarray | None:
    """With the pairing in, out, or exchanged for another, that saves most."""
    costs, penalty, flown = instance[0, :-1], instance[0, -1], instance[1:, :-1]
    covered, best, found = flown @ chosen - 1, crew_cost(instance, chosen) - 1e-9, None
    base = costs @ chosen
    for out in (-1, *np.flatnonzero(chosen)):
        rest, spent = (covered, base) if out < 0 else (covered - flown[:, out], base - costs[out])
        signs = np.where(chosen, -1, 1) if out < 0 else np.where(chosen, 0, 1)
        totals = spent + signs * costs + penalty * np.abs(rest[:, None] + signs * flown).sum(axis=0)
        i = int(totals.argmin())
        if totals[i] < best:
            best, found = totals[i], flipped(chosen, int(out), i if signs[i] else -1)
    return found


def flipped(chosen: np.ndarray, *places: int) -> np.ndarray:
    """With these changed; -1 is none."""
    changed = chosen.copy()
    for place in places:
        if place >= 0:
            changed[place] = ~changed[place]
    return changed


PROBLEMS = {
    "tsp": Classical(nearest_neighbour, lambda d, g: g.permutation(len(d)), length, two_opt),
    "knapsack": Classical(by_ratio, lambda i, g: by_ratio(i, g.random(i.shape[1])), packed_cost, repacked),
    "flow_shop": Classical(
        neh,
        lambda t, g: g.permutation(t.shape[1]),
        lambda t, order: float(makespans(t, order[None])[0]),
        insertion,
    ),
    "set_partitioning": Classical(by_price, lambda i, g: by_price(i, g.random(i.shape[1] - 1)), crew_cost, rostered),
}
