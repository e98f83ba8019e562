"""The package cmaes (Nomura & Shibata 2024), https://arxiv.org/abs/2402.01373, as an engine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hybridopt_cma.frozen import Frozen, freeze, thaw
from hybridopt_cma.search import Normals

HISTORY = ("_funhist_values", "_rng")  # for its own stopping rule, and its own source of randomness: neither is used


class Cmaes:
    """An optimiser of cmaes, whose generation is drawn at once from the search's generator.

    Args:
        optimizer: a ``cmaes.CMA`` or ``cmaes.SepCMA``.
        transform: its way from standard normal variates (n, d) to steps with its covariance (n, d).
        normals: the source of randomness.
    """

    def __init__(self, optimizer: object, transform: Callable[[np.ndarray], np.ndarray], normals: Normals):
        self.optimizer = optimizer
        self.transform = transform
        self.normals = normals
        self.popsize: int = optimizer.population_size

    @property
    def mean(self) -> np.ndarray:
        return self.optimizer.mean

    @property
    def sigma(self) -> float:
        return float(self.optimizer._sigma)

    @sigma.setter
    def sigma(self, value: float) -> None:
        self.optimizer._sigma = value

    def ask(self) -> np.ndarray:
        steps = self.transform(self.normals(self.popsize, self.optimizer.dim))
        return self.optimizer.mean + self.optimizer._sigma * steps

    def tell(self, candidates: np.ndarray, losses: list[float]) -> None:
        self.optimizer.tell(list(zip(candidates, losses, strict=True)))

    def freeze(self) -> Frozen:
        return freeze(self.optimizer, skip=HISTORY)

    def thaw(self, state: Frozen) -> None:
        thaw(self.optimizer, state)
