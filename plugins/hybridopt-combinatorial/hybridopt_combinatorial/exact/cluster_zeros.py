"""The fewest zeros in a box, as a ratio minimised by integer programs (Dinkelbach 1967).

https://doi.org/10.1287/mnsc.13.7.492: if no box has ``zeros - share * cells < 0``, no box has a lower share of zeros.
The first share is that of a box made by peeling (Friedman & Fisher 1999, https://doi.org/10.1023/A:1008894516817),
which spares the programs that are hard, those far from the optimum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from scipy.optimize import Bounds, LinearConstraint
from scipy.sparse import coo_array

from hybridopt_combinatorial.exact.proof import OPTIMAL, Clock, Proof, bound_of, solve_milp

LARGEST = 200  # rows


def solve(instance: np.ndarray, time_limit: float) -> Proof:
    """The lowest share of zeros among the cells of a box, or a bound on it.

    Args:
        instance: (rows, columns + 2): a number for each numeric variable and 2 + the level for each factor, so that a
            column is a factor's where its least value is 2 or more; then the zeros of the row, and the fewest rows.
        time_limit: seconds.
    """
    columns, zeros, fewest = instance[:, :-2], instance[:, -2], int(instance[0, -1])
    clock, cells = Clock(time_limit), columns.shape[1]
    bound = float(np.sort(zeros)[:fewest].mean() / cells)
    if len(instance) > LARGEST:
        return Proof(bound, False)
    share, box = peel(columns, zeros, fewest) / cells, Box(columns, fewest)
    while clock.left:
        result = solve_milp(clock, **box.program(zeros - share * cells))
        excess = bound_of(result, -np.inf)  # of zeros over share * cells: no box has less
        bound = max(bound, share + min(0.0, excess) / (cells * fewest))
        if result.status != OPTIMAL:
            break
        inside = result.x[: len(columns)] > 0.5
        better = float(zeros[inside].mean() / cells)
        if better >= share - 1e-9:
            return Proof(share, True)
        share = better
    return Proof(bound, False)


def peel(columns: np.ndarray, zeros: np.ndarray, fewest: int) -> float:
    """Zeros a row in a box that was found by taking the worst slices off, one after the other."""
    inside, best = np.ones(len(columns), dtype=bool), zeros.mean()
    while True:
        kept = [inside & ~slice_ for slice_ in slices(columns, inside)]
        kept = [rows for rows in kept if fewest <= rows.sum()]
        if not kept:
            return float(best)
        inside = min(kept, key=lambda rows: zeros[rows].mean())
        best = min(best, zeros[inside].mean())


def slices(columns: np.ndarray, inside: np.ndarray) -> Iterator[np.ndarray]:
    """The rows with the least and the greatest value of a variable, and those with each level of a factor."""
    for values in columns.T:
        there = np.unique(values[inside])
        for value in there if values.min() >= 2 else there[[0, -1]]:
            yield values == value


class Box:
    """Which rows are in a box, in linear terms.

    A variable's interval is two staircases over its values u_1 < u_2 < ...: ``low`` at u_k is 1 where the lower end is
    at most u_k, ``high`` where the upper end is at least u_k. A value is inside where both are 1; one always is.

    Args:
        columns: (rows, columns), as in ``solve``.
        fewest: rows in a box.
    """

    def __init__(self, columns: np.ndarray, fewest: int):
        self.rows = len(columns)
        self.size = self.rows
        self._entries: list[tuple[list[int], list[float], float, float]] = []
        terms: list[list[tuple[int, ...]]] = [[] for _ in range(self.rows)]  # whose sum, of each column, is in or out
        for values in columns.T:
            of_column = self._factor(values) if values.min() >= 2 else self._variable(values)
            for row, term in enumerate(of_column):
                terms[row].append(term)
        for row, of_row in enumerate(terms):
            self._all_of(row, of_row)
        self._demand(range(self.rows), 1, fewest, np.inf)

    def program(self, weights: np.ndarray) -> dict[str, object]:
        """The box whose rows have the least sum of weights (rows,)."""
        columns, values, least, most = zip(*self._entries, strict=True)
        places = np.repeat(np.arange(len(columns)), [len(part) for part in columns])
        shape = (len(columns), self.size)
        matrix = coo_array((np.concatenate(values), (places, np.concatenate(columns))), shape).tocsr()
        cost = np.zeros(self.size)
        cost[: self.rows] = weights
        constraints = LinearConstraint(matrix, np.array(least), np.array(most))
        return {"c": cost, "integrality": np.ones(self.size), "bounds": Bounds(0, 1), "constraints": constraints}

    def _variable(self, values: np.ndarray) -> list[tuple[int, int]]:
        distinct, places = np.unique(values, return_inverse=True)
        low, high = self._new(len(distinct)), self._new(len(distinct))
        for k in range(len(distinct) - 1):
            self._demand((low[k + 1], low[k]), (1, -1), 0, np.inf)
            self._demand((high[k], high[k + 1]), (1, -1), 0, np.inf)
        for pair in zip(low, high, strict=True):
            self._demand(pair, 1, 1, 2)
        return [(low[k], high[k]) for k in places]

    def _factor(self, values: np.ndarray) -> list[tuple[int]]:
        distinct, places = np.unique(values, return_inverse=True)
        allowed = self._new(len(distinct))
        self._demand(allowed, 1, 1, np.inf)
        return [(allowed[k],) for k in places]

    def _all_of(self, row: int, terms: list[tuple[int, ...]]) -> None:
        """A row is in where it is in by every column; a pair of staircases is in where its sum is 2."""
        for term in terms:
            self._demand((row, *term), (1, *[-1] * len(term)), -np.inf, 1 - len(term))
        flat = [variable for term in terms for variable in term]
        self._demand((row, *flat), (1, *[-1] * len(flat)), 1 - len(flat), np.inf)

    def _new(self, count: int) -> range:
        self.size += count
        return range(self.size - count, self.size)

    def _demand(self, variables: Iterable[int], factors: float | tuple[float, ...], least: float, most: float) -> None:
        variables = list(variables)
        factors = [factors] * len(variables) if isinstance(factors, int | float) else list(factors)
        self._entries.append((variables, [float(factor) for factor in factors], least, most))
