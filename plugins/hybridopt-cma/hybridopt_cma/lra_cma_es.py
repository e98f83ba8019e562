"""LRA-CMA-ES (Nomura, Akimoto & Ono 2023), https://arxiv.org/abs/2304.03473, through cmaes by the same authors."""

from __future__ import annotations

import numpy as np

from hybridopt_cma.cyberagent import Cmaes
from hybridopt_cma.search import GaussianSearch, Normals, refuse_above

FULL_COVARIANCE = 500  # dimensions: the matrix is decomposed twice a generation


class LraCmaEs(GaussianSearch):
    """CMA-ES whose learning rates follow the signal in the noise, so that its default population copes with noisy losses.

    Args:
        popsize: candidates a generation; 4 + 3 ln d if None, which is what the method is made for.
        sigma: the first standard deviation around the start vector.

    Raises:
        ConfigError: a setting is out of range, or there are too many dimensions for a full covariance.
    """

    def __init__(self, popsize: int | None = None, sigma: float = 0.1):
        super().__init__(popsize, sigma)

    def build(self, x0: np.ndarray, sigma: float, popsize: int, normals: Normals) -> Cmaes:
        from cmaes import CMA

        refuse_above(FULL_COVARIANCE, len(x0), "lra_cma_es")
        optimizer = CMA(x0, sigma, population_size=popsize, lr_adapt=True)

        def transform(z: np.ndarray) -> np.ndarray:
            B, D = optimizer._eigen_decomposition()
            return (z * D) @ B.T

        return Cmaes(optimizer, transform, normals)
