"""Processes that were started to work for another one, such as a launcher's or another rank's, end when it is gone."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Thread

VARIABLE = "HYBRIDOPT_STARTED_BY"  # the id of the process that waits for those that it starts
PERIOD = 1.0  # seconds between two looks
GRACE = 5.0  # seconds that a run has to stop after its step and to keep its checkpoint


@contextmanager
def starting_workers() -> Iterator[None]:
    """Processes of ours that are started inside end with this one, however it ends, SIGKILL included."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(os.getpid())
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def end_with_starter() -> None:
    """End this process with the one that has started it as a worker; any other process goes on by itself.

    A worker on another machine, such as a cluster's, has another parent there, and is not concerned.

    Raises:
        SystemExit: that process has ended since the last call.
    """
    starter = _followed(os.getpid())
    if starter is not None and os.getppid() != starter:
        sys.exit(1)


@cache
def _followed(process: int) -> int | None:
    """Whom this process follows from its first call on; cached by its own id, since a fork has another parent.

    Args:
        process: this one's id.
    """
    if os.environ.get(VARIABLE) != str(os.getppid()):
        return None
    Thread(target=_follow, args=(os.getppid(),), name="end-with-starter", daemon=True).start()
    return os.getppid()


def _follow(starter: int) -> None:
    while os.getppid() == starter:
        time.sleep(PERIOD)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)
