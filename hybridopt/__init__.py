"""hybridopt: train this network with gradients, without gradients, or with both?

The public names are imported when they are first used, so that ``import hybridopt`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridopt.core.data import DataModule as DataModule
    from hybridopt.core.data import TensorDataModule as TensorDataModule
    from hybridopt.core.encoding import Encoding as Encoding
    from hybridopt.core.ledger import Budget as Budget
    from hybridopt.core.objective import Objective as Objective
    from hybridopt.core.oracle import Oracle as Oracle
    from hybridopt.core.spec import DataSpec as DataSpec
    from hybridopt.core.strategy import Search as Search
    from hybridopt.core.strategy import Strategy as Strategy
    from hybridopt.engine.population import LowRankPopulation as LowRankPopulation
    from hybridopt.execution.trial import Trial as Trial

_HOMES = {
    "Budget": "hybridopt.core.ledger",
    "DataModule": "hybridopt.core.data",
    "DataSpec": "hybridopt.core.spec",
    "Encoding": "hybridopt.core.encoding",
    "LowRankPopulation": "hybridopt.engine.population",
    "Objective": "hybridopt.core.objective",
    "Oracle": "hybridopt.core.oracle",
    "Search": "hybridopt.core.strategy",
    "Strategy": "hybridopt.core.strategy",
    "TensorDataModule": "hybridopt.core.data",
    "Trial": "hybridopt.execution.trial",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hybridopt' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
