"""Descent whose optimiser keeps second moments, which phases of a hybrid pass on and take."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.toolbox import inheritance
from hybridopt.toolbox.gradient import GradientDescent


class MomentDescent(GradientDescent):
    """Descent by an optimiser whose state has ``exp_avg``, ``exp_avg_sq`` and ``step``, as Adam's has.

    From widths or second moments that the phase before hands over it begins as if it had been running: with these
    second moments, and the first gradient as the first moment (:mod:`~hybridopt.toolbox.inheritance` has the map).
    """

    hands_over: ClassVar[frozenset[str]] = frozenset({"second_moments"})
    takes: ClassVar[frozenset[str]] = frozenset({"second_moments", "sigma"})
    _inherited: Handover | None = None  # until the first gradient

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        super().begin(oracle, batch)
        self._inherited = oracle.inherited

    def adjust(self, oracle: Oracle, progress: float) -> None:
        if self._inherited is not None:
            self._begin_warm(self._inherited)
            self._inherited = None

    def handover(self) -> Handover:
        states = [self.optimizer.state.get(value) for value in self._values]
        if not all(states):
            return Handover()
        beta = self.optimizer.param_groups[0]["betas"][1]
        moments = [state["exp_avg_sq"].flatten() / (1 - beta ** float(state["step"])) for state in states if state]
        return Handover(second_moments=torch.cat(moments))

    @property
    def _values(self) -> list[Tensor]:
        """What the optimiser moves."""
        return [value for group in self.optimizer.param_groups for value in group["params"]]

    def _begin_warm(self, inherited: Handover) -> None:
        values = self._values
        slopes = [torch.zeros_like(value) if value.grad is None else value.grad for value in values]
        moments = inheritance.second_moments(inherited, torch.cat([slope.flatten() for slope in slopes]))
        if moments is None:
            return
        beta = self.optimizer.param_groups[0]["betas"][1]
        parts = moments.split([value.numel() for value in values])
        for value, slope, part in zip(values, slopes, parts, strict=True):
            self.optimizer.state[value] = {
                "step": torch.tensor(1 / (1 - beta), dtype=torch.float32, device=value.device),
                "exp_avg": slope.clone(),
                "exp_avg_sq": part.view_as(value).clone(),
            }
