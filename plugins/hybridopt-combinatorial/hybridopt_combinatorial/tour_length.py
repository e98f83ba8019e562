"""The length of a tour."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from hybridopt_combinatorial.problem import ProblemObjective, ProblemSpec


class TourLength(ProblemObjective):
    """Length of the round trip through the cities in the order of their keys (no gradient)."""

    tasks: ClassVar[frozenset[str]] = frozenset({"tsp"})
    conformance: ClassVar[dict[str, Any]] = {
        "problem": {"dataset": {"name": "tsp", "cities": 8}, "model": {"name": "solution"}}
    }

    def costs(self, outputs: Tensor, instances: Tensor) -> Tensor:
        """Keys (population, B, n), distances (B, n, n) -> lengths (population, B)."""
        tour = outputs.argsort(dim=-1, stable=True)
        legs = tour * tour.shape[-1] + tour.roll(-1, dims=-1)
        distances = instances.flatten(1).expand(len(outputs), -1, -1)
        return distances.gather(-1, legs).sum(dim=-1)

    def answer(self, outputs: Tensor, instance: Tensor, spec: ProblemSpec) -> dict[str, Any]:
        names = spec.legend["cities"]
        return {"tour": [names[city] for city in outputs.argsort(stable=True).tolist()]}
