"""VkD-CMA-ES (Akimoto & Hansen 2016), https://doi.org/10.1145/2908812.2908863, through pycma.

The covariance is D (I + V V') D with k columns in V; how many are needed is found out on the way (Akimoto & Hansen
2016, https://doi.org/10.1007/978-3-319-45823-6_1).
"""

from __future__ import annotations

import numpy as np

from hybridopt.toolbox.frozen import Frozen, freeze, thaw
from hybridopt_cma.pycma import Pycma
from hybridopt_cma.search import GaussianSearch, Normals

AVERAGES = ("ema_log_sigma", "ema_log_d", "ema_log_s")  # the sampler makes them at its first update


class VkdCmaEs(GaussianSearch):
    """Evolution strategy that learns coordinate-wise step sizes and a few directions: linear in the dimension.

    Args:
        popsize: candidates per generation; 4 + 3 ln d if None.
        sigma: the first standard deviation around the start vector.

    Raises:
        ConfigError: a setting is out of range.
    """

    def __init__(self, popsize: int | None = None, sigma: float = 0.05):
        super().__init__(popsize, sigma)

    def build(self, x0: np.ndarray, sigma: float, popsize: int, normals: Normals) -> Vkd:
        return Vkd(x0, sigma, popsize, normals)


class Vkd(Pycma):
    """Pycma with the restricted sampler, which adapts the step size itself."""

    def __init__(self, x0: np.ndarray, sigma: float, popsize: int, normals: Normals):
        from cma.restricted_gaussian_sampler import GaussVkDSampler

        options = GaussVkDSampler.extend_cma_options({"CMA_sampler_options": {"randn": normals}})
        super().__init__(x0, sigma, popsize, normals, **options)

    def freeze(self) -> Frozen:
        sampler = self.es.sm
        averages = {name: freeze(getattr(sampler, name)) for name in AVERAGES if hasattr(sampler, name)}
        return {**super().freeze(), "averages": averages}

    def thaw(self, state: Frozen) -> None:
        from cma.restricted_gaussian_sampler import ExponentialMovingAverage

        super().thaw(state)
        for name, average in state["averages"].items():
            made = ExponentialMovingAverage(average["decay"], 1)
            thaw(made, average)
            setattr(self.es.sm, name, made)
