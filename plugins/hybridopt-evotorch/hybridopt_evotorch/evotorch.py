"""EvoTorch's distribution-based searchers (Toklu, Atkinson, Micka, Liskowski & Srivastava 2023).

https://arxiv.org/abs/2302.12600. PGPE: Sehnke et al. 2010; its optimiser ClipUp: Toklu et al. 2020,
https://arxiv.org/abs/2008.02387. SNES and XNES: Wierstra et al. 2014, https://jmlr.org/papers/v15/wierstra14a.html.
CEM: Rubinstein 1999. CMAES: Hansen 2016, https://arxiv.org/abs/1604.00772.
"""

from __future__ import annotations

import inspect
import math
import warnings
from typing import Any, ClassVar

import torch
from torch import Tensor

from hybridopt import ConfigError, Search
from hybridopt.toolbox import ranges
from hybridopt.toolbox.fitness import failures_last
from hybridopt.toolbox.messages import options

FULL_COVARIANCE = {"XNES": 500, "CMAES": 1000}  # dimensions: each generation makes a d x d matrix for each candidate
OURS: dict[str, dict[str, Any]] = {  # where EvoTorch leaves a value to the user
    "PGPE": {"center_learning_rate": 0.05, "stdev_learning_rate": 0.1},
    "CEM": {"parenthood_ratio": 0.25},
}
TYPED = ("popsize", "stdev_init", "center_learning_rate", "stdev_learning_rate", "optimizer")
RESERVED = {  # arguments of the searchers that say where losses come from
    "problem",
    "center_init",
    "radius_init",
    "distributed",
    "num_interactions",
    "popsize_max",
    "popsize_weighted_grad_avg",
    "obj_index",
}


class EvoTorch(Search):
    """A searcher of EvoTorch that moves a Gaussian: PGPE, SNES, XNES, CEM or CMAES, by name.

    All rank within a generation, or estimate a gradient from one: minibatches are sound. The recommendation is the
    centre of the distribution. A failed candidate ranks behind all others; a generation of nothing but failures halves
    the distribution's width.

    Args:
        searcher: a class of ``evotorch.algorithms``.
        popsize: candidates per generation.
        stdev_init: the first standard deviation around the start vector.
        center_learning_rate: how fast the centre moves; the searcher's own default if None, and 0.05 for PGPE, where
            it is the length of ClipUp's steps.
        stdev_learning_rate: how fast the standard deviations change; the searcher's own if None, and 0.1 for PGPE.
        optimizer: what follows the centre's gradient: clipup, adam or sgd; the searcher's own if None (clipup for
            PGPE, plain steps for the others).
        settings: further arguments of the class, such as ``{symmetric: false}`` for PGPE, ``{separable: true}`` for
            CMAES or ``{parenthood_ratio: 0.1}`` for CEM, which has 0.25 here.

    Raises:
        ConfigError: there is no such searcher, it refuses its settings, or there are too many dimensions for it.
    """

    conformance: ClassVar[dict[str, Any]] = {
        "settings": [{"searcher": name} for name in ("SNES", "XNES", "CEM", "CMAES")],
    }

    def __init__(
        self,
        searcher: str = "PGPE",
        popsize: int = 50,
        stdev_init: float = 0.05,
        center_learning_rate: float | None = None,
        stdev_learning_rate: float | None = None,
        optimizer: str | None = None,
        settings: dict[str, Any] = {},
    ):
        super().__init__()
        given = (popsize, stdev_init, center_learning_rate, stdev_learning_rate, optimizer)
        typed = {name: value for name, value in zip(TYPED, given, strict=True) if value is not None}
        ranges.positive("strategy", **{name: value for name, value in typed.items() if name != "optimizer"})
        self.searcher = searcher
        self.arguments = self._arguments(typed, settings)
        self._driver: Any = None
        self._build(torch.zeros(2))  # a bad setting is refused now, not when training starts

    def start(self, x0: Tensor) -> None:
        most = FULL_COVARIANCE.get(self.searcher, math.inf)
        if len(x0) > most and not self.arguments.get("separable"):
            raise ConfigError(
                f"EvoTorch's {self.searcher} keeps a full covariance matrix, which is too large in more than {most} "
                f"dimensions, here {len(x0)}: take strategy.searcher=SNES, or encoding=subspace."
            )
        self.register_buffer("x0", x0.clone())
        self._driver = self._build(x0)

    def ask(self) -> Tensor:
        return self._driver.ask()[:, : len(self.x0)]

    def tell(self, population: Tensor, losses: Tensor) -> None:
        if torch.isfinite(losses).any():
            self._driver.tell(failures_last(losses.to(self.x0.dtype)))
        else:
            self._driver.fail()

    def recommend(self) -> Tensor:
        return self._driver.center[: len(self.x0)].clone()

    def facts(self) -> dict[str, str]:
        return {"evotorch": self.searcher}

    def get_extra_state(self) -> dict[str, Any] | None:
        return None if self._driver is None else self._driver.state()

    def set_extra_state(self, state: dict[str, Any] | None) -> None:
        self._driver = None
        if state is not None:
            self._driver = self._build(self.x0)
            self._driver.load(state)

    # -- EvoTorch's side ----------------------------------------------------------------------------------------------

    def _arguments(self, typed: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        """What the searcher's class is called with; what it does not know is refused."""
        from hybridopt_evotorch.library import searcher_class

        known = set(inspect.signature(searcher_class(self.searcher).__init__).parameters) - RESERVED - {"self"}
        for path, names in (("strategy.", typed), ("strategy.settings.", settings)):
            for name in names:
                if name not in known or (names is settings and name in TYPED):
                    where = " It is a setting of the strategy itself." if name in TYPED and name in known else ""
                    free = options(known - set(TYPED), name) if names is settings else ""
                    raise ConfigError(f"{path}{name} is nothing that EvoTorch's {self.searcher} takes.{where or free}")
        return {**OURS.get(self.searcher, {}), **typed, **settings}

    def _build(self, start: Tensor) -> Any:
        """The searcher, in two halves; in one dimension with a second one that means nothing, since CMAES wants it."""
        from hybridopt_evotorch.drivers import CmaDriver, GaussianDriver
        from hybridopt_evotorch.library import problem, searcher_class, untouched

        start = start if len(start) > 1 else torch.cat([start, torch.zeros_like(start)])
        make = searcher_class(self.searcher)
        try:
            with warnings.catch_warnings(), untouched(start.device):
                warnings.simplefilter("ignore")  # of how CMAES makes its own tensors
                made = make(problem(self, start), center_init=start.tolist(), **self.arguments)
        except (TypeError, ValueError, KeyError, AssertionError) as error:
            raise ConfigError(f"EvoTorch's {self.searcher} refuses its settings: {str(error).rstrip('.')}.") from error
        made.problem.spare = None
        return CmaDriver(made) if self.searcher == "CMAES" else GaussianDriver(made)
