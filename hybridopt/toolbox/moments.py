"""Descent whose optimiser keeps second moments, which phases of a hybrid pass on and take."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.errors import ConfigError
from hybridopt.toolbox import inheritance
from hybridopt.toolbox.gradient import GradientDescent
from hybridopt.toolbox.schedule import Schedule

GUESS = 10.0  # steps that second moments made of widths count as


class MomentDescent(GradientDescent):
    """Descent by an optimiser whose state has ``exp_avg``, ``exp_avg_sq`` and ``step``, as Adam's has.

    From widths or second moments that the phase before hands over it begins as if it had been running: with these
    second moments, and the first gradient as the first moment (:mod:`~hybridopt.toolbox.inheritance` has the map).
    Second moments count as much as all that their memory holds; those made of widths, which are a guess, as ten steps.

    Args:
        lr: the learning rate at the start; None for the one at which a step is as long as those of late of the phase
            before.
        schedule, final_lr, max_norm: of :class:`~hybridopt.toolbox.gradient.GradientDescent`.

    Raises:
        ConfigError: a number is out of range; when it begins, also where there is no phase before whose steps have a
            length.
    """

    hands_over: ClassVar[frozenset[str]] = frozenset({"second_moments"})
    takes: ClassVar[frozenset[str]] = frozenset({"second_moments", "sigma", "step_length"})
    rate: Tensor  # a scalar, the learning rate at the start
    _inherited: Handover | None = None  # until the first gradient

    def __init__(self, lr: float | None, schedule: Schedule, final_lr: float, max_norm: float | None = None):
        super().__init__(lr or 0.0, schedule, final_lr, max_norm)
        self.given = lr
        if lr is not None:  # nobody needs to measure steps for this one; of the class it is still true
            vars(self)["takes"] = self.takes - {"step_length"}

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        super().begin(oracle, batch)
        self._inherited = oracle.inherited
        self.register_buffer("rate", torch.tensor(self._first_rate(oracle), dtype=torch.float64))

    def first_rate(self) -> float:
        return float(self.rate)

    def _first_rate(self, oracle: Oracle) -> float:
        """The setting's, or that of steps as long as they have been: each coordinate's first step is the rate."""
        if self.given is not None:
            return self.given
        if oracle.inherited.step_length is None:
            raise ConfigError(
                "strategy.lr=null takes the length of the steps of the phase before, and there is no such phase, or it "
                "tells none: set strategy.lr to a number."
            )
        return oracle.inherited.step_length / oracle.dimension**0.5

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
        first, second = self.optimizer.param_groups[0]["betas"]
        steps = GUESS if inherited.second_moments is None else 1 / (1 - second)
        parts = moments.split([value.numel() for value in values])
        for value, slope, part in zip(values, slopes, parts, strict=True):
            self.optimizer.state[value] = {
                "step": torch.tensor(steps, dtype=torch.float32, device=value.device),
                "exp_avg": slope * (1 - first**steps),
                "exp_avg_sq": part.view_as(value) * (1 - second**steps),
            }
