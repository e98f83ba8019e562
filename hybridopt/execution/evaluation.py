"""What validation and test say of the network as it stands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from hybridopt.core.objective import Batch, Objective
from hybridopt.core.spec import DataSpec
from hybridopt.engine.forward import OfOne
from hybridopt.execution.averages import Averages


class Evaluation:
    """The loss and the metrics over a held-out set, batch by batch.

    Args:
        model: the network, in evaluation mode while it is evaluated.
        objective: whose loss and metrics are computed.
        spec: of the data.
        device: where the metrics are.
    """

    def __init__(self, model: nn.Module, objective: Objective, spec: DataSpec, device: torch.device):
        self.model, self.objective = model, objective
        self.metrics = objective.metrics(spec).to(device)
        self._loss = Averages()

    def reset(self) -> None:
        """Forget what was seen."""
        self.metrics.reset()

    def update(self, batch: Batch) -> None:
        """One more batch."""
        inputs, targets = batch
        outputs = self.objective.outputs(OfOne(self.model, inputs), batch)[0]
        self.metrics.update(outputs, targets)
        self._loss.add({"loss": self.objective.loss(outputs, targets)}, weight=len(targets))

    def values(self, stage: str) -> dict[str, float]:
        """Loss and metrics of what was seen, under "<stage>/<name>"."""
        computed = {name: value.item() for name, value in self.metrics.compute().items()}
        return {f"{stage}/{name}": value for name, value in (self._loss.take() | computed).items()}

    @property
    def directions(self) -> dict[str, bool | None]:
        """Of each metric of validation: whether higher is better, None where neither is."""
        known = {name: metric.higher_is_better for name, metric in self.metrics.items(copy_state=False)}
        return {"val/loss": False} | {f"val/{name}": direction for name, direction in known.items()}


def best(curve: Sequence[tuple[int, Mapping[str, float]]], directions: Mapping[str, bool | None]) -> dict[str, float]:
    """The best of each validation metric over the marks, where it is known whether high or low is good.

    NaN is never the best; it is what is left where all marks are NaN.

    Args:
        curve: (forwards, values by name) at each mark.
        directions: of each metric, whether higher is better; None where neither is.
    """
    choices = {name: max if higher else min for name, higher in directions.items() if higher is not None}
    known = {name: [mark[name] for _, mark in curve if not math.isnan(mark[name])] for name in choices}
    return {f"best/{name}": choice(known[name], default=math.nan) for name, choice in choices.items() if curve}
