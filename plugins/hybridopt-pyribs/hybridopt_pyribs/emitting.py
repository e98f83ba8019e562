"""What the strategies share whose emitters are evolution strategies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hybridopt import ConfigError
from hybridopt.toolbox.ranges import at_least, one_of, positive

if TYPE_CHECKING:
    from ribs.emitters import EmitterBase

    from hybridopt_pyribs.archive import Grid

FULL = 500  # dimensions up to which a full covariance is taken unless somebody asks for it
MOST = 2000  # up to which it is affordable
SMALLEST = 4  # candidates of a generation: below this, ranks say too little


def check(popsize: int, emitters: int, sigma: float, covariance: str | None) -> None:
    """Refuse settings of emitters that are out of range.

    Raises:
        ConfigError: one is.
    """
    at_least("strategy", SMALLEST, popsize=popsize)
    at_least("strategy", 1, emitters=emitters)
    positive("strategy", sigma=sigma)
    one_of("strategy", ("full", "diagonal"), covariance=covariance)


def strategy_of(name: str, covariance: str | None, dimension: int) -> str:
    """Pyribs' name of an evolution strategy.

    Args:
        name: of hybridopt's strategy.
        covariance: "full" or "diagonal"; None for the former up to :data:`FULL` dimensions.
        dimension: d.

    Raises:
        ConfigError: there are too many dimensions for a full covariance.
    """
    if covariance == "full" and dimension > MOST:
        raise ConfigError(
            f"strategy={name} keeps a full covariance matrix, which is too slow in more than {MOST} dimensions, here "
            f"{dimension}: type strategy.covariance=diagonal, or take encoding=subspace."
        )
    full = covariance == "full" or (covariance is None and dimension <= FULL)
    return "cma_es" if full else "sep_cma_es"


def evolution_strategies(archive: Grid, x0: np.ndarray, count: int, **settings: Any) -> list[EmitterBase]:
    """Emitters of pyribs, all of which start at x0 (d,)."""
    from ribs.emitters import EvolutionStrategyEmitter

    return [EvolutionStrategyEmitter(archive, x0=x0, seed=0, **settings) for _ in range(count)]
