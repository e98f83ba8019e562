"""The cost of crew pairings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.toolbox import ranges
from hybridopt_combinatorial.problem import ProblemObjective, ProblemSpec


class CrewCost(ProblemObjective):
    """Cost of the pairings chosen, and a penalty for each flight not flown exactly once (no gradient).

    Args:
        decode: how logits choose. "greedy" takes pairings from the highest logit downwards, each one that has no flight
            in common with those taken; "threshold" takes those whose logits are positive.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({"set_partitioning"})
    conformance: ClassVar[dict[str, Any]] = {
        "problem": {
            "dataset": {"name": "set_partitioning", "flights": 8, "pairings": 20},
            "model": {"name": "solution"},
        },
        "settings": [{"decode": "threshold"}],
    }

    def __init__(self, decode: Literal["greedy", "threshold"] = "greedy"):
        super().__init__()
        ranges.one_of("objective", ("greedy", "threshold"), decode=decode)
        self.decode = decode

    def costs(self, outputs: Tensor, instances: Tensor) -> Tensor:
        """Logits (population, B, pairings), instances (B, 1 + flights, pairings + 1) -> costs (population, B)."""
        chosen = self.chosen(outputs, instances)
        violations = (covered(chosen, instances) - 1).abs().sum(dim=-1)
        return (chosen * instances[:, 0, :-1]).sum(dim=-1) + instances[:, 0, -1] * violations

    def chosen(self, outputs: Tensor, instances: Tensor) -> Tensor:
        """Which pairings are chosen, (population, B, pairings) of 0 and 1."""
        take = taken_in_order if self.decode == "greedy" else lambda outputs, _: outputs > 0
        return take(outputs, instances).to(instances.dtype)

    def reported(self) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
        """``astray``: how many flights are not flown exactly once."""
        return {"astray": self._astray}

    def _astray(self, outputs: Tensor, instances: Tensor) -> Tensor:
        return (covered(self.chosen(outputs[None], instances), instances)[0] != 1).sum(dim=-1)

    def answer(self, outputs: Tensor, instance: Tensor, spec: ProblemSpec) -> dict[str, Any]:
        chosen = self.chosen(outputs[None, None], instance[None])
        flown = covered(chosen, instance[None])[0, 0]
        return {
            "pairings": (chosen[0, 0].nonzero()[:, 0] + 1).tolist(),
            "uncovered": ((flown == 0).nonzero()[:, 0] + 1).tolist(),
            "overcovered": ((flown > 1).nonzero()[:, 0] + 1).tolist(),
        }


def covered(chosen: Tensor, instances: Tensor) -> Tensor:
    """How often each flight is flown: (population, B, pairings) -> (population, B, flights)."""
    return torch.einsum("nbp,bfp->nbf", chosen, instances[:, 1:, :-1])


def taken_in_order(outputs: Tensor, instances: Tensor) -> Tensor:
    """Pairings from the highest logit downwards, each one that has no flight in common with those taken.

    A round takes one for every member at once: the highest of those that still fit.
    """
    flown = instances[:, 1:, :-1]
    legs = flown.mT.expand(len(outputs), -1, -1, -1)
    open_, taken = outputs.nan_to_num(), torch.zeros_like(outputs, dtype=torch.bool)
    while True:
        highest, best = open_.max(dim=-1, keepdim=True)
        fits = highest > -torch.inf
        if not fits.any():
            return taken
        taken.scatter_(-1, best, fits | taken.gather(-1, best))
        its_legs = legs.gather(-2, best[..., None].expand(-1, -1, -1, legs.shape[-1]))
        open_.masked_fill_((its_legs @ flown > 0)[..., 0, :], -torch.inf)
