"""Pycma (Hansen, Akimoto & Baudis), https://github.com/CMA-ES/pycma, as an engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from hybridopt.toolbox.frozen import Frozen, freeze, thaw
from hybridopt_cma.search import Normals

PARTS = ("sm", "adapt_sigma", "sigma_vec", "fit", "best", "_stoptolxstagnation")  # of an optimiser, with state
PASSING = ("ary", "pop", "pop_sorted", "pop_geno")  # what lives no longer than a generation, and is large

# Losses of different batches do not compare: criteria that do so are off, but for stagnation, which looks at medians of
# long stretches. All others look at the distribution, or at one generation.
ACROSS_BATCHES = {"tolfun": 0, "tolfunhist": 0, "tolfunrel": 0}
QUIET = {"verbose": -9, "verb_log": 0, "verb_disp": 0, "signals_filename": ""}


class Pycma:
    """A ``cma.CMAEvolutionStrategy``, silent, that draws from the search's generator.

    The step size is adapted by the cumulative path in all dimensions: pycma would take two-point adaptation from 300
    dimensions on, which draws from numpy's global generator.

    Args:
        x0: (d,), where it starts.
        sigma: the first step size.
        popsize: candidates of a generation.
        normals: the source of randomness.
        options: further ones of ``cma.CMAOptions``.
    """

    def __init__(self, x0: np.ndarray, sigma: float, popsize: int, normals: Normals, **options: Any):
        import cma
        from cma.sigma_adaptation import CMAAdaptSigmaCSA

        own = {"seed": np.nan, "randn": normals, "popsize": popsize, "AdaptSigma": CMAAdaptSigmaCSA}
        self.es = cma.CMAEvolutionStrategy(x0, sigma, {**QUIET, **ACROSS_BATCHES, **own, **options})
        self.popsize = popsize

    @property
    def mean(self) -> np.ndarray:
        return self.es.mean

    @property
    def sigma(self) -> float:
        return float(self.es.sigma)

    @sigma.setter
    def sigma(self, value: float) -> None:
        self.es.sigma = value

    def ask(self) -> np.ndarray:
        return np.asarray(self.es.ask())

    def tell(self, candidates: np.ndarray, losses: list[float]) -> None:
        self.es.tell(list(candidates), losses)

    @property
    def stopped(self) -> str:
        """By which of pycma's criteria the search is over; empty if it is not."""
        return ", ".join(self.es.stop()) if self.es.countiter else ""

    def freeze(self) -> Frozen:
        parts = {name: freeze(getattr(self.es, name)) for name in PARTS}
        return {"es": freeze(self.es, skip=PASSING), **parts}

    def thaw(self, state: Frozen) -> None:
        from cma.utilities.utils import ElapsedWCTime

        thaw(self.es, state["es"])
        for name in PARTS:
            thaw(getattr(self.es, name), state[name])
        self.es.timer = ElapsedWCTime()  # made at the first ask, missed at later ones
