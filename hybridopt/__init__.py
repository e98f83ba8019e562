"""hybridopt: train this network with gradients, without gradients, or with both?

All that the author of a plugin or of a script needs is imported from here. The names are imported when they are first
used, so that ``import hybridopt`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridopt.api import build as build
    from hybridopt.api import compose as compose
    from hybridopt.api import names as names
    from hybridopt.api import run as run
    from hybridopt.core.data import DataModule as DataModule
    from hybridopt.core.data import TensorDataModule as TensorDataModule
    from hybridopt.core.encoding import Encoding as Encoding
    from hybridopt.core.encoding import SparseEncoding as SparseEncoding
    from hybridopt.core.handover import Handover as Handover
    from hybridopt.core.hybrid import Hybrid as Hybrid
    from hybridopt.core.ledger import Budget as Budget
    from hybridopt.core.ledger import Ledger as Ledger
    from hybridopt.core.objective import Batch as Batch
    from hybridopt.core.objective import Forward as Forward
    from hybridopt.core.objective import Objective as Objective
    from hybridopt.core.objective import WeightObjective as WeightObjective
    from hybridopt.core.oracle import Oracle as Oracle
    from hybridopt.core.search import Search as Search
    from hybridopt.core.spec import DataSpec as DataSpec
    from hybridopt.core.strategy import Record as Record
    from hybridopt.core.strategy import Strategy as Strategy
    from hybridopt.core.stream import BatchStream as BatchStream
    from hybridopt.core.study import Arm as Arm
    from hybridopt.core.study import Judgement as Judgement
    from hybridopt.core.study import Outcome as Outcome
    from hybridopt.core.study import Profile as Profile
    from hybridopt.core.study import Results as Results
    from hybridopt.core.study import Study as Study
    from hybridopt.core.study import Table as Table
    from hybridopt.core.trigger import Trigger as Trigger
    from hybridopt.core.trigger import Turn as Turn
    from hybridopt.engine.population import LowRankPopulation as LowRankPopulation
    from hybridopt.engine.population import SeededPopulation as SeededPopulation
    from hybridopt.errors import ConfigError as ConfigError
    from hybridopt.errors import DataError as DataError
    from hybridopt.errors import HybridoptError as HybridoptError
    from hybridopt.execution.trial import Trial as Trial
    from hybridopt.toolbox.front_search import FrontSearch as FrontSearch

_HOMES = {
    "hybridopt.api": ("build", "compose", "names", "run"),
    "hybridopt.core.data": ("DataModule", "TensorDataModule"),
    "hybridopt.core.encoding": ("Encoding", "SparseEncoding"),
    "hybridopt.core.handover": ("Handover",),
    "hybridopt.core.hybrid": ("Hybrid",),
    "hybridopt.core.ledger": ("Budget", "Ledger"),
    "hybridopt.core.objective": ("Batch", "Forward", "Objective", "WeightObjective"),
    "hybridopt.core.oracle": ("Oracle",),
    "hybridopt.core.spec": ("DataSpec",),
    "hybridopt.core.search": ("Search",),
    "hybridopt.core.strategy": ("Record", "Strategy"),
    "hybridopt.core.stream": ("BatchStream",),
    "hybridopt.core.study": ("Arm", "Judgement", "Outcome", "Profile", "Results", "Study", "Table"),
    "hybridopt.core.trigger": ("Trigger", "Turn"),
    "hybridopt.engine.population": ("LowRankPopulation", "SeededPopulation"),
    "hybridopt.errors": ("ConfigError", "DataError", "HybridoptError"),
    "hybridopt.execution.trial": ("Trial",),
    "hybridopt.toolbox.front_search": ("FrontSearch",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hybridopt' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
