"""The value in a knapsack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.toolbox import ranges
from hybridopt_combinatorial.problem import ProblemObjective, ProblemSpec


class PackedValue(ProblemObjective):
    """Minus the value of the items whose logits are positive, once they fit (no gradient).

    Args:
        repair: what is done about a knapsack that is too heavy. "greedy" unpacks items, those of the lowest value per
            weight first, until it fits; "penalty" lets it cost its overweight as a share of the capacity, so that it is
            worse than an empty one.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({"knapsack"})
    conformance: ClassVar[dict[str, Any]] = {
        "problem": {"dataset": {"name": "knapsack", "items": 12}, "model": {"name": "solution"}},
        "settings": [{"repair": "penalty"}],
    }

    def __init__(self, repair: Literal["greedy", "penalty"] = "greedy"):
        super().__init__()
        ranges.one_of("objective", ("greedy", "penalty"), repair=repair)
        self.repair = repair

    def costs(self, outputs: Tensor, instances: Tensor) -> Tensor:
        """Logits (population, B, n), instances (B, 3, n) -> minus the value (population, B)."""
        values, weights, capacities = instances.unbind(dim=1)
        packed = self.packed(outputs, instances)
        overweight = (packed * weights).sum(dim=-1) / capacities[:, 0] - 1
        return torch.where(overweight > 0, overweight, -(packed * values).sum(dim=-1))

    def packed(self, outputs: Tensor, instances: Tensor) -> Tensor:
        """What is packed, (population, B, n) booleans."""
        chosen = outputs > 0
        return unpacked_to_fit(chosen, instances) if self.repair == "greedy" else chosen

    def reported(self) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
        """``load``: the weight as a share of the capacity."""
        return {"load": self._load}

    def _load(self, outputs: Tensor, instances: Tensor) -> Tensor:
        packed = self.packed(outputs[None], instances)[0]
        return (packed * instances[:, 1]).sum(dim=-1) / instances[:, 2, 0]

    def answer(self, outputs: Tensor, instance: Tensor, spec: ProblemSpec) -> dict[str, Any]:
        packed = self.packed(outputs[None, None], instance[None])[0, 0]
        return {
            "items": (packed.nonzero()[:, 0] + 1).tolist(),
            "value": float(instance[0][packed].sum()),
            "weight": float(instance[1][packed].sum()),
        }


def unpacked_to_fit(chosen: Tensor, instances: Tensor) -> Tensor:
    """Without the items of the lowest value per weight, as many as make it fit (Michalewicz's greedy repair).

    In the order of value per weight, those stay whose weights add up to no more than the capacity.
    """
    values, weights, capacities = instances.unbind(dim=1)
    order = (values / weights).argsort(dim=-1, descending=True, stable=True)
    place = order.argsort(dim=-1)
    in_order = chosen.take_along_dim(order[None], dim=-1)
    carried = (in_order * weights.take_along_dim(order, dim=-1)).cumsum(dim=-1)
    fits = in_order & (carried <= capacities)
    return fits.take_along_dim(place[None], dim=-1)
