"""A strategy around another one, whose course it does not change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Parts, Strategy


class Wrapper(Strategy):
    """Lets an inner strategy train; a subclass makes something else of what that recommends.

    A subclass writes ``step``, in which it calls that of ``self.inner``, and ``recommend``; and ``begin``, if it has
    state, for which :meth:`begin_inner` gives the start.

    Args:
        inner: any strategy.
    """

    def __init__(self, inner: Strategy):
        super().__init__()
        self.inner = inner

    @property
    def requires(self) -> frozenset[str]:
        """What the inner strategy requires."""
        return self.inner.requires

    @property
    def hands_over(self) -> frozenset[str]:
        """What the inner strategy hands over."""
        return self.inner.hands_over

    @property
    def takes(self) -> frozenset[str]:
        """What the inner strategy takes."""
        return self.inner.takes

    def parts(self, encoding: Encoding) -> Parts:
        return {"inner": (self.inner, encoding)}

    def attach(self, oracle: Oracle) -> None:
        self.inner.attach(oracle)

    def begin_inner(self, oracle: Oracle, batch: Batch) -> Tensor:
        """Let the inner strategy begin; where it starts (d,)."""
        start = oracle.start
        self.inner.begin(oracle if oracle.direct else oracle.starting_at(start), batch)
        return start

    def current(self, oracle: Oracle) -> Tensor:
        """What the inner strategy recommends now (d,), the model as it stands where it says so."""
        z = self.inner.recommend()
        return oracle.point if z is None else z

    def front(self) -> Tensor | None:
        return self.inner.front()

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return self.inner.optimizers()

    def finished(self) -> bool:
        return self.inner.finished()

    def phase_over(self) -> bool:
        return self.inner.phase_over()

    def handover(self) -> Handover:
        return self.inner.handover()

    def artifacts(self, folder: Path) -> None:
        self.inner.artifacts(folder)

    def facts(self) -> Mapping[str, str]:
        return self.inner.facts()
