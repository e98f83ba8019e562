"""The share of zeros in a cluster."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any, ClassVar

import torch
from torch import Tensor

from hybridopt import DataSpec
from hybridopt_combinatorial.problem import ProblemObjective, ProblemSpec

FACTOR = 2  # what a factor's levels have been raised by
WIDE = 2.0  # standard deviations: where an interval ends if nothing is said


class ShareOfZeros(ProblemObjective):
    """Share of zeros among the cells of the rows that are left (no gradient).

    Two outputs for each variable are the ends of its interval, in either order: the normal distribution function takes
    them to ranks from 0 to 1, after 2 is taken from the first and added to the second. Then one output a level of
    a factor admits it where it is above -1; the highest is always admitted. So outputs of zero leave nearly the whole
    table. Where too few rows are left, the loss is 1 and the share of the rows that are missing.

    Args:
        spec: of the data set, which knows the columns.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({"cluster_zeros"})
    conformance: ClassVar[dict[str, Any]] = {
        "problem": {"dataset": {"name": "cluster_zeros", "rows": 20}, "model": {"name": "solution"}}
    }

    def __init__(self, spec: DataSpec):
        super().__init__()
        columns = list(getattr(spec, "legend", {}).values())
        counts = [len(names) for factor, names in columns if factor]
        self._register("variables", [place for place, (factor, _) in enumerate(columns) if not factor])
        self._register("factors", [place for place, (factor, _) in enumerate(columns) if factor])
        self._register("first", [0, *accumulate(counts)][: len(counts)])  # the place of a factor's first level
        self._register("owner", [factor for factor, count in enumerate(counts) for _ in range(count)])  # of each level

    def _register(self, name: str, places: list[int]) -> None:
        self.register_buffer(name, torch.tensor(places, dtype=torch.long), persistent=False)

    def costs(self, outputs: Tensor, instances: Tensor) -> Tensor:
        """Outputs (population, B, output_size), tables (B, rows, columns + 2) -> shares (population, B)."""
        inside, zeros, fewest = self.inside(outputs, instances), instances[..., -2], instances[:, 0, -1]
        rows, cells = inside.sum(dim=-1), instances.shape[-1] - 2
        share = (inside * zeros).sum(dim=-1) / (cells * rows.clamp(min=1))
        missing = (fewest - rows) / fewest
        return torch.where(missing > 0, 1 + missing, share)

    def inside(self, outputs: Tensor, instances: Tensor) -> Tensor:
        """Which rows are left, (population, B, rows) booleans."""
        ends, logits = outputs.split([2 * len(self.variables), len(self.owner)], dim=-1)
        low, high = intervals(ends).unbind(dim=-1)
        ranks = instances[..., self.variables].mT
        between = ((low[..., None] <= ranks) & (ranks <= high[..., None])).all(dim=-2)
        places = instances[..., self.factors].long() - FACTOR + self.first  # (B, rows, factors)
        flat = places.flatten(1).expand(len(outputs), -1, -1)
        return between & self.admitted(logits).gather(-1, flat).unflatten(-1, places.shape[1:]).all(dim=-1)

    def admitted(self, logits: Tensor) -> Tensor:
        """Which levels are, (..., levels of all factors) booleans: those of logits above -1, and a factor's highest."""
        none = logits.new_full((*logits.shape[:-1], len(self.first)), -torch.inf)
        highest = none.scatter_reduce(-1, self.owner.expand_as(logits), logits, "amax")
        return (logits > -1) | (logits == highest[..., self.owner])

    def reported(self) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
        """``rows``: the share of rows that are left."""
        return {"rows": self._rows}

    def _rows(self, outputs: Tensor, instances: Tensor) -> Tensor:
        return self.inside(outputs[None], instances)[0].to(instances.dtype).mean(dim=-1)

    def answer(self, outputs: Tensor, instance: Tensor, spec: ProblemSpec) -> dict[str, Any]:
        inside = self.inside(outputs[None, None], instance[None])[0, 0]
        ends, logits = outputs.split([2 * len(self.variables), len(self.owner)])
        boxes, allowed = iter(intervals(ends).tolist()), iter(self.admitted(logits).tolist())
        told: dict[str, list] = {}
        for (name, (factor, names)), column in zip(spec.legend.items(), instance.T, strict=False):
            if factor:
                told[name] = [level for level in names if next(allowed)]
                continue
            (low, high), ranks = next(boxes), column.unique().tolist()  # a rank for each distinct value, in order
            kept = [value for value, rank in zip(names, ranks, strict=True) if low <= rank <= high]
            told[name] = [kept[0], kept[-1]] if kept else []
        return {"columns": told, "rows": (inside.nonzero()[:, 0] + 1).tolist()}


def intervals(ends: Tensor) -> Tensor:
    """Two ends of each interval (..., 2 * variables), in either order -> ranks (..., variables, 2), the lower first."""
    pairs = ends.unflatten(-1, (ends.shape[-1] // 2, 2))
    return torch.special.ndtr(pairs + pairs.new_tensor([-WIDE, WIDE])).sort(dim=-1).values
