"""Separable CMA-ES (Ros & Hansen 2008), https://doi.org/10.1007/978-3-540-87700-4_30.

Through the package cmaes (Nomura & Shibata 2024), https://arxiv.org/abs/2402.01373, which follows the paper: bad steps
are not learned from. Pycma's variant, which does so, is ``strategy=cma_es strategy.covariance=diagonal``.
"""

from __future__ import annotations

from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from hybridopt import Handover
from hybridopt.toolbox import inheritance
from hybridopt.toolbox.frozen import Frozen, freeze, thaw
from hybridopt_cma.search import GaussianSearch, Normals, numbers

UNUSED = ("_funhist_values", "_rng")  # of cmaes: for its own stopping rule, and its own source of randomness


class SepCmaEs(GaussianSearch):
    """Evolution strategy that learns a step size for each coordinate: linear in time and memory, for any dimension.

    Args:
        popsize: candidates per generation; 4 + 3 ln d if None.
        sigma: the first standard deviation around the start vector.

    Raises:
        ConfigError: a setting is out of range.
    """

    hands_over: ClassVar[frozenset[str]] = frozenset({"sigma"})
    takes: ClassVar[frozenset[str]] = frozenset({"sigma", "second_moments"})

    def __init__(self, popsize: int | None = None, sigma: float = 0.05):
        super().__init__(popsize, sigma)

    def start(self, x0: Tensor) -> None:
        super().start(x0)
        if self.context.inherited.sigma is not None or self.context.inherited.second_moments is not None:
            widths = inheritance.widths(self.context.inherited, self.sigma, x0)
            cast(Separable, self._engine).widths = numbers(widths)

    def handover(self) -> Handover:
        widths = cast(Separable, self._engine).widths[: len(self.x0)]
        return Handover(sigma=torch.as_tensor(widths).to(self.x0))

    def build(self, x0: np.ndarray, sigma: float, popsize: int, normals: Normals) -> Separable:
        return Separable(x0, sigma, popsize, normals)


class Separable:
    """A ``cmaes.SepCMA``, whose generation is drawn at once, from the search's generator.

    Args:
        x0: (d,), where it starts.
        sigma: the first step size.
        popsize: candidates of a generation.
        normals: the source of randomness.
    """

    def __init__(self, x0: np.ndarray, sigma: float, popsize: int, normals: Normals):
        from cmaes import SepCMA

        self.optimizer = SepCMA(x0, sigma, population_size=popsize)
        self.normals = normals
        self.popsize = popsize
        self.candidates = np.empty((popsize, self.optimizer.dim))

    @property
    def mean(self) -> np.ndarray:
        return self.optimizer.mean

    @property
    def sigma(self) -> float:
        return float(self.optimizer._sigma)

    @sigma.setter
    def sigma(self, value: float) -> None:
        self.optimizer._sigma = value

    @property
    def widths(self) -> np.ndarray:
        """The standard deviation of each coordinate (d,), as far as the weights go."""
        return self.sigma * self.optimizer._eigen_decomposition()  # the roots of the variances

    @widths.setter
    def widths(self, values: np.ndarray) -> None:
        self.sigma = float(np.exp(np.log(values).mean()))
        self.optimizer._C[: len(values)], self.optimizer._D = (values / self.sigma) ** 2, None

    def ask(self) -> np.ndarray:
        widths = self.widths
        self.normals.fill(self.candidates)
        for candidate in self.candidates:  # one fits into the processor's cache, all of a large network do not
            candidate *= widths
            candidate += self.mean
        return self.candidates

    def tell(self, candidates: np.ndarray, losses: list[float]) -> None:
        self.optimizer.tell(list(zip(candidates, losses, strict=True)))

    def freeze(self) -> Frozen:
        return freeze(self.optimizer, skip=UNUSED)

    def thaw(self, state: Frozen) -> None:
        thaw(self.optimizer, state)
