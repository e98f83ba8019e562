"""Another process: one is started when it is first needed, and serves all checks."""

from __future__ import annotations

import atexit
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any

from hybridopt.testing.problems import Config, composed
from hybridopt.testing.runs import Run, threads


@cache
def _pool() -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    atexit.register(pool.shutdown)
    return pool


def elsewhere(pickled: bytes, config: Config, steps: int) -> list[float]:
    """What a strategy recommends after so many steps in another process.

    Args:
        pickled: the strategy.
        config: the problem.
        steps: how many.
    """
    return _pool().submit(_run, pickled, config, steps).result()


def _run(pickled: bytes, config: Any, steps: int) -> list[float]:
    with threads(1):
        run = Run(None, composed(config), strategy=pickle.loads(pickled))
        return run.finish(steps).answer().tolist()
