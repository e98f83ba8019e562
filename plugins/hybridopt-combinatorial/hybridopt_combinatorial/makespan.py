"""The makespan of a flow shop."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from hybridopt_combinatorial.problem import ProblemObjective, ProblemSpec


class Makespan(ProblemObjective):
    """Time until the last job is done, where all machines take the jobs in the order of their keys (no gradient)."""

    tasks: ClassVar[frozenset[str]] = frozenset({"flow_shop"})
    conformance: ClassVar[dict[str, Any]] = {
        "problem": {"dataset": {"name": "flow_shop", "jobs": 7, "machines": 3}, "model": {"name": "solution"}}
    }

    def costs(self, outputs: Tensor, instances: Tensor) -> Tensor:
        """Keys (population, B, jobs), times (B, machines, jobs) -> makespans (population, B).

        A machine ends the k-th job at ``max over j <= k of (ready_j + time_j + ... + time_k)``, ready_j being when the
        machine before it ends the j-th: a running maximum of differences of running sums, without a loop over jobs.
        """
        order = outputs.argsort(dim=-1, stable=True)
        done = order.new_zeros(order.shape, dtype=instances.dtype)
        for times in instances.unbind(dim=1):
            time = times.expand(order.shape).gather(-1, order)
            work = time.cumsum(dim=-1)
            done = work + (done - work + time).cummax(dim=-1).values
        return done[..., -1]

    def answer(self, outputs: Tensor, instance: Tensor, spec: ProblemSpec) -> dict[str, Any]:
        return {"jobs": (outputs.argsort(stable=True) + 1).tolist()}
