"""CMA-ES (Hansen & Ostermeier 2001; Hansen 2016), https://arxiv.org/abs/1604.00772, through pycma.

Active: Jastrebski & Arnold 2006, https://doi.org/10.1109/CEC.2006.1688662.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hybridopt import ConfigError
from hybridopt.toolbox import ranges
from hybridopt_cma.pycma import Pycma
from hybridopt_cma.restarts import Regimes
from hybridopt_cma.search import GaussianSearch, Normals

FULL_COVARIANCE = 2000  # dimensions up to which a d x d matrix is affordable


class CmaEs(GaussianSearch):
    """Evolution strategy that learns the covariance of its steps; restarts with larger populations on request.

    Restarts begin at the start vector again, with a larger population (ipop) or with a large and many small ones by
    turns (bipop), whenever one of pycma's criteria ends a run. Criteria that compare losses of different batches are
    off, since one lucky batch would decide, but for stagnation, which compares medians over long stretches. From the
    first restart on the best mean of the runs before is evaluated along with the present one on each batch, charged,
    and the better of the two is recommended.

    Args:
        popsize: candidates per generation, in the first run; 4 + 3 ln d if None.
        sigma: the first standard deviation around the start vector.
        covariance: "full", for up to 2000 dimensions, or "diagonal", for any.
        active: whether bad steps are learned from too.
        restarts: what follows when a run has come to its end.
        tolfun: a run ends when losses differ by less than this, in a generation and over the latest ones; for full
            batches only (dataset.batch_size=null), where losses do compare. 0 turns it off.

    Raises:
        ConfigError: a setting is out of range, or there are too many dimensions for a full covariance.
    """

    def __init__(
        self,
        popsize: int | None = None,
        sigma: float = 0.05,
        covariance: Literal["full", "diagonal"] = "full",
        active: bool = True,
        restarts: Literal["none", "ipop", "bipop"] = "none",
        tolfun: float = 0.0,
    ):
        super().__init__(popsize, sigma)
        ranges.one_of("strategy", ("full", "diagonal"), covariance=covariance)
        ranges.one_of("strategy", ("none", "ipop", "bipop"), restarts=restarts)
        ranges.at_least("strategy", 0, tolfun=tolfun)
        self.covariance, self.active = covariance, active
        self.restarts, self.tolfun = restarts, tolfun
        self.register_buffer("kept", None)  # (k, d) means of runs that are over, the recommended one first

    def build(self, x0: np.ndarray, sigma: float, popsize: int, normals: Normals) -> Pycma:
        diagonal = self.covariance == "diagonal"
        if not diagonal and len(x0) > FULL_COVARIANCE:
            raise ConfigError(
                f"strategy=cma_es keeps a full covariance matrix, which is too slow in more than {FULL_COVARIANCE} "
                f"dimensions, here {len(x0)}: take strategy=sep_cma_es, or encoding=subspace."
            )
        return Pycma(x0, sigma, popsize, normals, CMA_diagonal=diagonal, CMA_active=self.active, tolfun=self.tolfun)

    def start(self, x0: Tensor) -> None:
        super().start(x0)
        self.kept = None
        self._leading = True  # whether the present mean is better than those
        self._regimes = Regimes(self.restarts, self._engine.popsize, self.sigma)

    def ask(self) -> Tensor:
        candidates = super().ask()
        return candidates if self.kept is None else torch.cat([self.kept, super().recommend()[None], candidates])

    def tell(self, population: Tensor, losses: Tensor) -> None:
        own = self._engine.popsize
        if self.kept is not None:
            self._compare(losses[:-own])
        super().tell(population[-own:], losses[-own:])
        self._regimes.spent += own
        if self.restarts != "none" and (self._regimes.over or self._engine.stopped):
            self._restart()

    def recommend(self) -> Tensor:
        return super().recommend() if self._leading else self.kept[0]

    def facts(self) -> dict[str, str]:
        return super().facts() if self.restarts == "none" else {"restarts": str(self._regimes.restarts)}

    def _compare(self, losses: Tensor) -> None:
        """Of the means of former runs keep the best on this batch, and see whether the present mean beats it."""
        best = losses[:-1].argmin()
        self._leading = bool(losses[-1] < losses[best])
        self.kept = self.kept[best : best + 1]

    def _restart(self) -> None:
        final = super().recommend()[None]
        kept = [] if self.kept is None else [self.kept]
        self.kept = torch.cat([final, *kept] if self._leading else [*kept, final])
        self._leading = False
        remaining = self.horizon * (1 - self.progress)
        self._begin(*self._regimes.restart(self._uniform, remaining))

    def _uniform(self) -> float:
        return float(torch.rand((), generator=self.generator, device=self.generator.device))

    def get_extra_state(self) -> dict[str, Any] | None:
        state = super().get_extra_state()
        return state and {**state, "leading": self._leading, "regimes": self._regimes.state()}

    def set_extra_state(self, state: dict[str, Any] | None) -> None:
        super().set_extra_state(state)
        if state is not None:
            self._leading, self._regimes = state["leading"], Regimes(**state["regimes"])
