"""The travelling salesman by subtour elimination (Dantzig, Fulkerson & Johnson 1954).

https://doi.org/10.1287/opre.2.4.393. Subtours are first cut off in the linear relaxation, where minimum cuts show which
ones it violates (its value is then Held and Karp's bound), and afterwards in whole solutions, until one is a tour.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog
from scipy.sparse import coo_array, csr_array, vstack
from scipy.sparse.csgraph import breadth_first_order, connected_components, maximum_flow

from hybridopt_combinatorial.exact.proof import OPTIMAL, Clock, Proof, bound_of, solve_milp

LARGEST = 200  # cities; more are bounded only
UNITS = 10**6  # by which fractional edges become the whole numbers that maximum_flow takes
VIOLATED = 1e-4  # a cut that is missed by less is not worth a row


def solve(instance: np.ndarray, time_limit: float) -> Proof:
    """The length of the shortest tour, or a bound on it.

    Args:
        instance: (n, n) symmetric distances.
        time_limit: seconds.
    """
    n, clock = len(instance), Clock(time_limit)
    if n <= 3:  # all tours are the same
        return Proof(float(sum(instance[a, b] for a, b in pairwise([*range(n), 0]))), True)
    bound = two_nearest(instance)
    if n > LARGEST:
        return Proof(bound, False)
    edges = Edges(instance)
    bound = relax(edges, clock, bound)
    while clock.left:
        result = solve_milp(clock, integrality=np.ones(len(edges.costs)), **edges.program())
        bound = bound_of(result, bound)
        if result.status != OPTIMAL:
            break
        chosen = result.x.round()
        parts = edges.parts(chosen)
        if len(parts) == 1:
            return Proof(float(edges.costs @ chosen), True)
        edges.cut(parts)
    return Proof(bound, False)


def two_nearest(distances: np.ndarray) -> float:
    """Half the way from each city to its two nearest ones: a tour is no shorter."""
    others = distances + np.where(np.eye(len(distances), dtype=bool), np.inf, 0)
    return float(np.partition(others, 1, axis=1)[:, :2].sum() / 2)


def relax(edges: Edges, clock: Clock, bound: float) -> float:
    """Cut subtours off in the linear relaxation, and return its value, or the bound known if there is no time."""
    while clock.left:
        result = linprog(**edges.relaxation(), bounds=(0, 1), options={"time_limit": clock.left})
        if result.status != OPTIMAL:
            break
        bound = max(bound, float(result.fun))
        violated = list(edges.violated(result.x))
        if not violated:
            break
        edges.cut(violated)
    return bound


class Edges:
    """The symmetric problem: a variable for each pair of cities, two edges a city, two out of each set that was cut.

    Args:
        distances: (n, n).
    """

    def __init__(self, distances: np.ndarray):
        self.n = len(distances)
        self.ends = np.triu_indices(self.n, k=1)
        self.costs = distances[self.ends]
        columns = np.tile(np.arange(len(self.costs)), 2)
        places = (np.concatenate(self.ends), columns)
        self.degrees = coo_array((np.ones(len(columns)), places), (self.n, len(self.costs))).tocsr()
        self.cuts: list[csr_array] = []

    def program(self) -> dict[str, object]:
        """As ``milp`` takes it."""
        least = np.full(self.n + len(self.cuts), 2.0)
        most = np.where(np.arange(len(least)) < self.n, 2.0, np.inf)
        rows = vstack([self.degrees, *self.cuts])
        return {"c": self.costs, "bounds": Bounds(0, 1), "constraints": LinearConstraint(rows, least, most)}

    def relaxation(self) -> dict[str, object]:
        """As ``linprog`` takes it."""
        program = {"c": self.costs, "A_eq": self.degrees, "b_eq": np.full(self.n, 2.0)}
        return program | ({"A_ub": -vstack(self.cuts), "b_ub": np.full(len(self.cuts), -2.0)} if self.cuts else {})

    def cut(self, sets: list[np.ndarray]) -> None:
        """Demand two edges out of each of these sets of cities."""
        for cities in sets:
            inside = np.isin(np.arange(self.n), cities)
            across = inside[self.ends[0]] != inside[self.ends[1]]
            self.cuts.append(csr_array(across[None].astype(float)))

    def parts(self, x: np.ndarray) -> list[np.ndarray]:
        """The cities of each connected part."""
        count, labels = connected_components(self._graph(x > 1e-9), directed=False)
        return [np.flatnonzero(labels == label) for label in range(count)]

    def violated(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Sets that fewer than two edges leave: connected parts, or minimum cuts between the first city and others."""
        parts = self.parts(x)
        if len(parts) > 1:
            yield from parts
            return
        capacities = self._graph(np.rint(x * UNITS).astype(np.int32))
        seen = set()
        for city in range(1, self.n):
            flow = maximum_flow(capacities, 0, city)
            if flow.flow_value < (2 - VIOLATED) * UNITS:
                side = np.sort(breadth_first_order(residual(capacities, flow.flow), 0, return_predecessors=False))
                if side.tobytes() not in seen:
                    seen.add(side.tobytes())
                    yield side

    def _graph(self, weights: np.ndarray) -> csr_array:
        """A symmetric matrix (n, n) of weights of edges; none where the weight is zero."""
        rows, columns = (np.concatenate(pair) for pair in (self.ends, self.ends[::-1]))
        return without_zeros(coo_array((np.tile(weights, 2), (rows, columns)), (self.n, self.n)).tocsr())


def residual(capacities: csr_array, flow: csr_array) -> csr_array:
    """What capacity is left, by which the side of a minimum cut is reached."""
    return without_zeros(csr_array(capacities - flow))


def without_zeros(matrix: csr_array) -> csr_array:
    """The same matrix, its explicit zeros forgotten."""
    matrix.eliminate_zeros()
    return matrix
