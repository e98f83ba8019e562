"""What a population costs when several processes of this machine share it out, which talk over gloo."""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import torch
from torch import distributed

from hybridopt.composition import building
from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Strategy
from hybridopt.engine.sharding import ProcessGroup
from hybridopt.study.network import Network

PATIENCE = timedelta(minutes=2)  # that processes wait for each other
PLENTY = 1e15  # forwards


@dataclass(frozen=True)
class Group:
    """What a group of processes takes, in seconds.

    Args:
        processes: how many.
        generations: of each strategy, the processor's time of the busiest process.
        exchange: of one number, by the clock; NaN for one process.
        gradient: of as many numbers as the network has parameters, likewise.
    """

    processes: int
    generations: list[float]
    exchange: float
    gradient: float


def group_times(
    overrides: Sequence[str], strategies: Sequence[dict[str, Any]], sizes: Sequence[int], count: int
) -> list[Group]:
    """What generations take in groups of several processes.

    Args:
        overrides: of model and data set.
        strategies: name and settings of each.
        sizes: processes of a group.
        count: generations of each strategy, of which the shortest counts.

    Raises:
        BrokenProcessPool: a process has been killed.
        HybridoptError: a strategy or a data set does not exist, or does not fit.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(max(sizes), context) as pool:
        found = []
        for size in sizes:
            given = (str(Path(folder) / f"group-{size}"), size, tuple(overrides), tuple(strategies), count)
            ranks = [each.result() for each in [pool.submit(_rank, rank, *given) for rank in range(size)]]
            *generations, exchange, gradient = (max(times) for times in zip(*ranks, strict=True))
            found.append(Group(size, generations, exchange, gradient))
        return found


def _rank(
    rank: int, place: str, ranks: int, overrides: Sequence[str], strategies: Sequence[dict[str, Any]], count: int
) -> list[float]:
    """The times of one process of a group."""
    torch.set_num_threads(1)
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    store = cast(Any, distributed).FileStore(place, ranks)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=ranks, timeout=PATIENCE)
    try:
        found = [generation_time(overrides, settings, count) for settings in strategies]
        size = len(Network(overrides, 0, torch.float32).weights)
        return [*found, *(_exchange_time(numbers, count) if ranks > 1 else math.nan for numbers in (1, size))]
    finally:
        distributed.destroy_process_group()


def generation_time(overrides: Sequence[str], settings: dict[str, Any], count: int) -> float:
    """The least processor's time that this process takes for a generation of a strategy, as a part of its group."""
    network = Network(overrides, 0, torch.float32)
    batch, generator = network.batch(), torch.Generator().manual_seed(0)
    strategy: Strategy = building.build("strategy", settings)
    objective = building.build("objective", {"name": "cross_entropy"})
    ledger, sharding = Ledger(Budget(forwards=PLENTY)), ProcessGroup(torch.device("cpu"))
    oracle = Oracle(network.module, objective, ledger, generator, sharding=sharding)
    strategy.attach(oracle)
    strategy.begin(oracle, batch)
    strategy.step(oracle, batch)
    return least(lambda: strategy.step(oracle, batch), count, time.thread_time)


def _exchange_time(numbers: int, count: int) -> float:
    """The least time of a sum over the group."""
    values = torch.zeros(numbers)
    return least(lambda: distributed.all_reduce(values), 10 * count, time.perf_counter)


def step_time(overrides: Sequence[str], count: int) -> float:
    """The least processor's time of a step of Adam."""
    network = Network(overrides, 0, torch.float32)
    network.descend(1)
    return least(lambda: network.descend(1), 10 * count, time.thread_time)


def least(run: Callable[[], Any], count: int, clock: Callable[[], float]) -> float:
    """The least time of so many calls: that of one which nothing has disturbed."""
    best = math.inf
    for _ in range(count):
        started = clock()
        run()
        best = min(best, clock() - started)
    return best
