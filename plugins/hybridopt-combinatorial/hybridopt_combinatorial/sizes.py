"""The problems of the study of NP-hardness: instances of several sizes, and what solves them exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hybridopt_combinatorial.exact import knapsack as exact_knapsack
from hybridopt_combinatorial.exact import set_partitioning as exact_set_partitioning
from hybridopt_combinatorial.exact import tsp as exact_tsp
from hybridopt_combinatorial.flow_shop import flow_shop
from hybridopt_combinatorial.knapsack import knapsack
from hybridopt_combinatorial.set_partitioning import set_partitioning
from hybridopt_combinatorial.tsp import tsp

DATA = {"tsp": tsp, "knapsack": knapsack, "flow_shop": flow_shop, "set_partitioning": set_partitioning}
OBJECTIVES = {
    "tsp": "tour_length",
    "knapsack": "packed_value",
    "flow_shop": "makespan",
    "set_partitioning": "crew_cost",
}
EXACT = {  # none for the flow shop: beyond twelve jobs its program is no help
    "tsp": exact_tsp.solve,
    "knapsack": exact_knapsack.solve,
    "set_partitioning": exact_set_partitioning.solve,
}
ORDERS = ("tsp", "flow_shop")


@dataclass(frozen=True)
class Problem:
    """Instances of one size.

    Args:
        dataset: its name.
        sizes: settings of the data set.
    """

    dataset: str
    sizes: Mapping[str, int]

    @property
    def overrides(self) -> tuple[str, ...]:
        """Of all arms."""
        sizes = (f"dataset.{name}={value}" for name, value in self.sizes.items())
        return (f"dataset={self.dataset}", *sizes, f"objective={OBJECTIVES[self.dataset]}", "model=solution")

    @property
    def annealing(self) -> str:
        """The annealing that fits: over permutations where they are what is sought."""
        return "permutation_annealing" if self.dataset in ORDERS else "simulated_annealing"


PROBLEMS = {
    "tsp of 20": Problem("tsp", {"cities": 20}),
    "tsp of 50": Problem("tsp", {"cities": 50}),
    "tsp of 100": Problem("tsp", {"cities": 100}),
    "knapsack of 50": Problem("knapsack", {"items": 50}),
    "knapsack of 200": Problem("knapsack", {"items": 200}),
    "flow shop of 20 x 5": Problem("flow_shop", {"jobs": 20, "machines": 5}),
    "set partitioning of 30 x 200": Problem("set_partitioning", {"flights": 30, "pairings": 200}),
    "set partitioning of 60 x 400": Problem("set_partitioning", {"flights": 60, "pairings": 400}),
}


def drawn(problem: Problem, seed: int) -> np.ndarray:
    """The instance, as objectives get it."""
    module = DATA[problem.dataset](**problem.sizes, instance_seed=seed, time_limit=0)
    return module.sets["train"][1][0].numpy().astype(float)
