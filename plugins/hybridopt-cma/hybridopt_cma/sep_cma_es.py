"""Separable CMA-ES (Ros & Hansen 2008), https://doi.org/10.1007/978-3-540-87700-4_30, through cmaes."""

from __future__ import annotations

import numpy as np

from hybridopt_cma.cyberagent import Cmaes
from hybridopt_cma.search import GaussianSearch, Normals


class SepCmaEs(GaussianSearch):
    """Evolution strategy that learns a step size for each coordinate: linear in time and memory, for any dimension.

    Args:
        popsize: candidates a generation; 4 + 3 ln d if None.
        sigma: the first standard deviation around the start vector.

    Raises:
        ConfigError: a setting is out of range.
    """

    def __init__(self, popsize: int | None = None, sigma: float = 0.05):
        super().__init__(popsize, sigma)

    def build(self, x0: np.ndarray, sigma: float, popsize: int, normals: Normals) -> Cmaes:
        from cmaes import SepCMA

        optimizer = SepCMA(x0, sigma, population_size=popsize)
        return Cmaes(optimizer, lambda z: z * optimizer._eigen_decomposition(), normals)
