"""The permutation flow shop by positions (Wilson 1989, https://doi.org/10.1057/jors.1989.67), for a dozen jobs at most.

Beyond that the program's bound is below Taillard's (1993), https://doi.org/10.1016/0377-2217(93)90182-M, which takes no
time: each machine must do all its work, after the shortest way of a job to it and before the shortest way from it.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint

from hybridopt_combinatorial.exact.proof import OPTIMAL, Clock, Proof, bound_of, solve_milp

LARGEST = 12  # jobs


def solve(instance: np.ndarray, time_limit: float) -> Proof:
    """The shortest makespan, or a bound on it.

    Args:
        instance: (machines, jobs) processing times.
        time_limit: seconds.
    """
    clock, bound = Clock(time_limit), machine_bound(instance)
    if instance.shape[1] > LARGEST or not clock.left:
        return Proof(bound, False)
    result = solve_milp(clock, **program(instance))
    if result.status != OPTIMAL:
        return Proof(bound_of(result, bound), False)
    jobs = instance.shape[1]
    order = result.x[: jobs * jobs].reshape(jobs, jobs).argmax(axis=0)
    return Proof(makespan(instance[:, order]), True)


def machine_bound(times: np.ndarray) -> float:
    """The busiest machine's work, with the shortest head before and tail after it; the longest job, if that is more."""
    heads = np.cumsum(times, axis=0) - times
    tails = times.sum(axis=0) - heads - times
    return float(max((times.sum(axis=1) + heads.min(axis=1) + tails.min(axis=1)).max(), times.sum(axis=0).max()))


def makespan(times: np.ndarray) -> float:
    """When the last job (machines, jobs in order) leaves the last machine."""
    done = np.zeros(len(times))
    for job in times.T:
        ready = 0.0
        for machine, time in enumerate(job):
            ready = done[machine] = max(ready, done[machine]) + time
    return float(done[-1])


def program(times: np.ndarray) -> dict[str, object]:
    """Variables: x[j, k], job j is the k-th; then C[i, k], when machine i has done the k-th job. C of the last one."""
    machines, jobs = times.shape
    size = jobs * jobs + machines * jobs
    x = np.arange(jobs * jobs).reshape(jobs, jobs)
    C = jobs * jobs + np.arange(machines * jobs).reshape(machines, jobs)
    once = np.zeros((2 * jobs, size))
    for j in range(jobs):
        once[j, x[j]] = 1
        once[jobs + j, x[:, j]] = 1
    after = []
    for i in range(machines):
        for k in range(jobs):
            earlier = [C[i - 1, k]] * (i > 0) + [C[i, k - 1]] * (k > 0) or [None]
            for start in earlier:  # C[i, k] - start >= time of the k-th job
                row = np.zeros(size)
                row[C[i, k]], row[x[:, k]] = 1, -times[i]
                if start is not None:
                    row[start] = -1
                after.append(row)
    cost = np.zeros(size)
    cost[C[-1, -1]] = 1
    return {
        "c": cost,
        "integrality": np.arange(size) < jobs * jobs,
        "bounds": Bounds(0, np.where(np.arange(size) < jobs * jobs, 1, np.inf)),
        "constraints": [LinearConstraint(once, 1, 1), LinearConstraint(np.array(after), 0, np.inf)],
    }
