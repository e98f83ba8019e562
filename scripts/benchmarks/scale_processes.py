"""For bench_scale.py: one population shared out over processes on this machine, which talk over gloo."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import benchlib
import torch
from benchlib import DENSE, EGGROLL, SEEDED, Rows, Variant, Work
from torch import Tensor, distributed, nn

from hybridopt import DataSpec
from hybridopt.composition import building
from hybridopt.engine.digest import digest
from hybridopt.engine.sharding import ProcessGroup

VARIANTS = (DENSE, SEEDED, EGGROLL)
NOTE = """\
"speed-up" is by the clock. "of its own work" is the processor's time of one process over that of the busiest of several
(of the thread that computes): what the clock would show if each had a core for itself and the exchange took no time.
What is missing to the number of processes is what each does for itself: it draws the noise of the whole population, or
the table of it, and makes the update."""


@dataclass(frozen=True)
class Case:
    """A network and its population.

    Args:
        label: what tables call it.
        network: name and settings of a model in the registry.
        shape: of one input.
        popsize: members n.
        batch: samples B.
        variants: of strategies.
        count: generations that are timed.
    """

    label: str
    network: Mapping[str, Any]
    shape: tuple[int, ...]
    popsize: int
    batch: int
    variants: Sequence[Variant] = VARIANTS
    count: int = 10

    def build(self) -> nn.Module:
        """The network with the weights of seed 0."""
        spec = DataSpec(input_shape=self.shape, output_size=10, task="classification")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return building.build("model", dict(self.network), spec=spec)


CASES = (
    Case("MLP 64-256-128-10", {"name": "mlp", "hidden": [256, 128]}, (64,), 128, 128),
    Case("CNN 1x28x28", {"name": "cnn"}, (1, 28, 28), 64, 64),
    Case("MLP 64-2100-2100-10", {"name": "mlp", "hidden": [2100, 2100]}, (64,), 32, 8, (SEEDED,), 2),  # without a table
)
QUICK = (Case("MLP 64-32-10", {"name": "mlp", "hidden": [32]}, (64,), 8, 16),)


class Counting(ProcessGroup):
    """As ever, and it counts the bytes of answers that it sends, and the seconds that it waits for those of others."""

    sent, waited = 0, 0.0

    def _all(self, own: Tensor) -> list[Tensor]:
        started = time.perf_counter()
        received = super()._all(own)
        self.waited += time.perf_counter() - started
        self.sent += own.numel() * own.element_size() * (self.ranks - 1)
        return received


def generations(case: Case, variant: Variant, count: int) -> dict[str, Any]:
    """What a rank finds in some generations after a first one: seconds, the processor's, bytes, the final point."""
    batch = benchlib.random_batch(case.shape, case.batch, "cpu")
    sharding = Counting(torch.device("cpu"))
    work = Work(variant, case.build(), batch, case.popsize, sharding)
    work()
    sharding.sent, sharding.waited = 0, 0.0
    seconds, busy = [], []
    for _ in range(count):
        started, before = time.perf_counter(), time.thread_time()
        work()
        seconds.append(time.perf_counter() - started)
        busy.append(time.thread_time() - before)
    return {
        "seconds": statistics.median(seconds),
        "busy": statistics.median(busy),
        "waited": sharding.waited / count,
        "sent": sharding.sent / count,
        "point": digest(work.strategy.recommend()),
    }


def serve(rank: int, folder: str, orders: Connection) -> None:
    """A process that is a rank of one group after the other."""
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    while (order := orders.recv()) is not None:
        number, ranks, case, variant, count = order
        store = distributed.FileStore(str(Path(folder) / str(number)), ranks)
        distributed.init_process_group("gloo", store=store, rank=rank, world_size=ranks)
        try:
            orders.send(generations(case, variant, count))
        finally:
            distributed.destroy_process_group()


class Workers:
    """Processes that are started once, and form groups of whatever size.

    Args:
        pipes: to each of them.
        folder: where groups meet.
    """

    def __init__(self, pipes: Sequence[Connection], folder: str):
        self.pipes, self.folder, self._groups = pipes, folder, 0

    def run(self, ranks: int, case: Case, variant: Variant, count: int) -> list[dict[str, Any]]:
        """What each of the first ``ranks`` processes finds."""
        self._groups += 1
        for pipe in self.pipes[:ranks]:
            pipe.send((self._groups, ranks, case, variant, count))
        return [pipe.recv() for pipe in self.pipes[:ranks]]


@contextmanager
def workers(count: int) -> Iterator[Workers]:
    """Inside, so many processes wait for orders."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        started, pipes = [], []
        for rank in range(count):
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(rank, folder, there), daemon=True)
            process.start()
            there.close()  # so that the end of the process is the end of the pipe
            started.append(process)
            pipes.append(here)
        try:
            yield Workers(pipes, folder)
            for pipe in pipes:
                pipe.send(None)
        finally:
            for process in started:
                process.join(10)
                process.terminate()


def measure(sizes: Sequence[int], repetitions: int, quick: bool, words: Sequence[str] = ("",)) -> Rows:
    """A row for each network, variant and number of processes, which take turns; :data:`NOTE` says what they mean.

    Args:
        sizes: numbers of processes; the first is what the others are compared with.
        repetitions: rounds.
        quick: only a tiny network.
        words: only networks whose label has one of them.
    """
    rows: Rows = []
    cases = [case for case in (QUICK if quick else CASES) if any(word in case.label for word in words)]
    with workers(max(sizes)) as group:
        for case in cases:
            for variant in case.variants:
                found = [
                    {size: group.run(size, case, variant, 2 if quick else case.count) for size in sizes}
                    for _ in range(repetitions)
                ]
                rows += summarised(case, variant, sizes, found)
    return rows


def summarised(
    case: Case, variant: Variant, sizes: Sequence[int], found: Sequence[Mapping[int, list[dict[str, Any]]]]
) -> Rows:
    """Medians over rounds, each against the single process of its round."""
    points = {rank["point"] for each in found for ranks in each.values() for rank in ranks}
    rows = []
    for size in sizes:
        ratios = {
            key: statistics.median(slowest(each[sizes[0]], key) / slowest(each[size], key) for each in found)
            for key in ("seconds", "busy")
        }
        milliseconds = 1000 * statistics.median(slowest(each[size], "seconds") for each in found)
        rows.append(
            {
                "network": case.label,
                "variant": variant.label,
                "processes": size,
                "ms a generation": milliseconds,
                "speed-up": ratios["seconds"],
                "of its own work": ratios["busy"],
                "waiting": statistics.median(
                    slowest(each[size], "waited") / slowest(each[size], "seconds") for each in found
                ),
                "bytes of answers": found[0][size][0]["sent"],
                "bit for bit": "equal" if len(points) == 1 else "differs",
            }
        )
    return rows


def share_of_waiting(ranks: Sequence[Mapping[str, Any]]) -> float:
    """The largest share of a generation that a rank waits for the others' answers."""
    return max(rank["waited"] / rank["seconds"] for rank in ranks)


def slowest(ranks: Sequence[Mapping[str, Any]], key: str) -> float:
    """The largest figure of all ranks."""
    return max(rank[key] for rank in ranks)
