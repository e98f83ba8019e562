"""Members of a population shared out over threads, each of which runs a copy of the network of its own.

torch's threads divide each operation, and wait for one another at its end: many small operations gain nothing from
that, and lose much where cores are shared. These meet once for each population. Each operation is run by one thread,
so that their number changes no result.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import pairwise
from threading import Barrier
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")

_allowed: int | None = None  # by :func:`allowing`
_pool: tuple[int, ThreadPoolExecutor] | None = None  # of how many, and these


def count() -> int:
    """How many threads may run members: as many as torch may use for an operation, or what is allowed."""
    return _allowed or torch.get_num_threads()


@contextmanager
def allowing(number: int) -> Iterator[None]:
    """Inside, this number of threads may run members, whatever number torch uses for an operation."""
    global _allowed
    former, _allowed = _allowed, number
    try:
        yield
    finally:
        _allowed = former


def each(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """What the tasks return, each run by a thread of its own, without a graph; one operation takes one thread there.

    Raises:
        Exception: the first one that a task has raised; by then all have ended.
    """
    futures = [_threads(len(tasks)).submit(_without_graph, task) for task in tasks]
    wait(futures)
    return [future.result() for future in futures]


def _without_graph(task: Callable[[], T]) -> T:
    with torch.no_grad():
        return task()


def _threads(number: int) -> ThreadPoolExecutor:
    """At least so many threads, kept for the next population."""
    global _pool
    if _pool is None or _pool[0] < number:
        if _pool is not None:
            _pool[1].shutdown(wait=False)
        pool, all_there = ThreadPoolExecutor(number, "members"), Barrier(number)
        before = torch.get_num_threads()
        for future in [pool.submit(_begin, all_there) for _ in range(number)]:
            future.result()
        torch.set_num_threads(before)  # the number is each thread's own, but that of threads to come is the last one
        _pool = number, pool
    return _pool[1]


def _begin(all_there: Barrier) -> None:
    torch.set_num_threads(1)
    all_there.wait()


def _forget() -> None:
    """A forked process has none of its parent's threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def shares(members: int, number: int) -> list[slice]:
    """Contiguous parts of nearly equal size."""
    bounds = [members * part // number for part in range(number + 1)]
    return [slice(first, last) for first, last in pairwise(bounds)]


def twin(module: nn.Module) -> nn.Module:
    """The same network again, of the same values in the same memory: parameters put into one are not in the other."""
    places = {id(place): nn.Parameter(place.detach(), place.requires_grad) for place in module.parameters()}
    kept = {id(value): value for part in module.modules() for value in (*part._buffers.values(), *vars(part).values())}
    return copy.deepcopy(module, {key: value for key, value in kept.items() if isinstance(value, Tensor)} | places)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Outputs (n_i, ...) one after the other, in the memory layout that they have."""
    first = parts[0]
    order = sorted(range(first.ndim), key=lambda axis: -first.stride(axis))
    back = [order.index(axis) for axis in range(first.ndim)]
    return torch.cat([part.permute(order) for part in parts], dim=back[0]).permute(back)
