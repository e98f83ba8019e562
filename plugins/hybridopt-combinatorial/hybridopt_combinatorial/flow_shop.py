"""Flow-shop scheduling: Taillard's benchmarks by their seeds, or a file in his format."""

from __future__ import annotations

import numpy as np

from hybridopt import DataError, TensorDataModule
from hybridopt.toolbox import ranges
from hybridopt_combinatorial.exact.flow_shop import solve
from hybridopt_combinatorial.problem import NO_SPLIT, check_generated, instance_data
from hybridopt_combinatorial.tables import Numbers

MODULUS, FACTOR = 2**31 - 1, 16807  # of Lehmer's generator, as Taillard has it
LONGEST = 99  # the longest processing time that is drawn
SHORTEST = {  # (jobs, machines, seed) -> the shortest makespan of Taillard's instances 1 to 10, by branch and bound
    (20, 5, 873654221): 1278,
    (20, 5, 379008056): 1359,
    (20, 5, 1866992158): 1081,
    (20, 5, 216771124): 1293,
    (20, 5, 495070989): 1235,
    (20, 5, 402959317): 1195,
    (20, 5, 1369363414): 1234,
    (20, 5, 2021925980): 1206,
    (20, 5, 573109518): 1230,
    (20, 5, 88325120): 1108,
}


def flow_shop(
    path: str | None = None,
    jobs: int = 20,
    machines: int = 5,
    instance_seed: int = 873654221,
    best_known: float | None = None,
    time_limit: float = 60.0,
) -> TensorDataModule:
    """Permutation flow shop: the order of jobs that is done first, by Taillard's generator or from a file.

    Processing times are whole numbers, uniform from 1 to 99, by the generator of Taillard (1993),
    https://doi.org/10.1016/0377-2217(93)90182-M: with the seeds published there, the instances are his. The default is
    his first one of 20 jobs and 5 machines (ta001), whose shortest makespan is 1278.

    Args:
        path: a file in Taillard's format: jobs, machines and what else is in that line, then a row of times for each
            machine; lines of text are skipped; the first instance is read. None draws one.
        jobs: how many are drawn.
        machines: how many are drawn.
        instance_seed: Taillard's time seed, from 1 to 2147483646.
        best_known: the makespan that gaps are measured to; None takes the published one of his instances of 20 jobs and
            5 machines, and else solves for the optimum, up to 12 jobs.
        time_limit: seconds that this may take, after which, or for more jobs, the gap is measured to a bound.

    Returns:
        One instance, the times (machines, jobs), for training, validation and test alike.

    Raises:
        ConfigError: a setting is out of range.
        DataError: the file cannot be read as a flow shop.
    """
    check_generated(0, jobs=(jobs, 1), machines=(machines, 1))
    ranges.between("dataset", 1, MODULUS - 1, instance_seed=instance_seed)
    if path is None:
        times = draw(jobs, machines, instance_seed)
        best_known = best_known or SHORTEST.get((jobs, machines, instance_seed))
    else:
        times = read(path)
    return instance_data("flow_shop", times, times.shape[1], "keys", solve, time_limit, best_known)


flow_shop.conformance = {"expected_failures": {"splits_disjoint": NO_SPLIT}}


def draw(jobs: int, machines: int, seed: int) -> np.ndarray:
    """Processing times (machines, jobs), machine by machine."""
    times = np.empty(machines * jobs)
    for place in range(len(times)):
        seed = FACTOR * seed % MODULUS
        times[place] = 1 + int(LONGEST * (seed / MODULUS))
    return times.reshape(machines, jobs)


def read(path: str) -> np.ndarray:
    """Processing times (machines, jobs)."""
    numbers = Numbers(path, captions=True)
    jobs, machines = numbers.whole("the number of jobs"), numbers.whole("the number of machines")
    numbers.take(numbers.first_line - 2 if numbers.first_line > 2 else 0, "the first line")  # a seed, and bounds
    times = numbers.take(jobs * machines, f"the times of {jobs} jobs on {machines} machines")
    if numbers.first_line <= 2:  # Taillard's own files go on with other instances
        numbers.finish(f"{jobs} jobs on {machines} machines")
    if not ((times >= 0).all() and times.any()):
        raise DataError(f"{numbers.file} must have processing times of 0 or more, not all of them 0.")
    return times.reshape(machines, jobs)
