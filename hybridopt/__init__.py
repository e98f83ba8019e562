"""hybridopt: train this network with gradients, without gradients, or with both?

The public names are imported when they are first used, so that ``import hybridopt`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridopt.dataset import DataModule as DataModule
    from hybridopt.dataset import TensorDataModule as TensorDataModule
    from hybridopt.encoding import Encoding as Encoding
    from hybridopt.engine.population import LowRankPopulation as LowRankPopulation
    from hybridopt.ledger import Budget as Budget
    from hybridopt.objective import Objective as Objective
    from hybridopt.oracle import Oracle as Oracle
    from hybridopt.spec import DataSpec as DataSpec
    from hybridopt.strategy import Search as Search
    from hybridopt.strategy import Strategy as Strategy
    from hybridopt.trial import Trial as Trial

_HOMES = {
    "Budget": "hybridopt.ledger",
    "DataModule": "hybridopt.dataset",
    "DataSpec": "hybridopt.spec",
    "Encoding": "hybridopt.encoding",
    "LowRankPopulation": "hybridopt.engine.population",
    "Objective": "hybridopt.objective",
    "Oracle": "hybridopt.oracle",
    "Search": "hybridopt.strategy",
    "Strategy": "hybridopt.strategy",
    "TensorDataModule": "hybridopt.dataset",
    "Trial": "hybridopt.trial",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hybridopt' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
