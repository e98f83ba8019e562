"""What a program does once before it runs jobs, since its process is its own; a library would leave all this alone."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any


def runner(config: Mapping[str, Any]) -> Callable[..., Any]:
    """What runs a job, :func:`hybridopt.execution.experiment.run`, in a process that is prepared for it.

    Args:
        config: the job's, whose libraries are imported.
    """
    tracking = config["tracking"]
    tracked = config.get("resume") is None and tracking.get("name") != "none"  # a run that goes on has its own store
    _prepare(tracked, tracking.get("uri"))
    from hybridopt.execution.experiment import run

    return run


@cache
def _prepare(tracked: bool, uri: str | None) -> None:
    """Import what is heavy while Python collects no garbage, and leave it out of all collections that follow.

    The collector would look through these modules again and again while they are made, and at the end of the process:
    a third of the time that a short job takes.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        from hybridopt.engine.memory import keep_freed_memory
        from hybridopt.execution import experiment  # noqa: F401  what runner gives

        if tracked:
            from hybridopt.tracking.store import load

            load(uri)
        gc.freeze()
    finally:
        if collecting:
            gc.enable()
    keep_freed_memory()
