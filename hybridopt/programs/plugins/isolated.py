"""Other people's code, run in a process of its own that may raise, print, hang or die without harm.

One process looks after the items one after the other, since it has to import torch for the first of them. Where one
hangs or ends the process, another process goes on with the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

from hybridopt.composition.registry import Plugin
from hybridopt.programs.plugins import worker

WORKER = [sys.executable, "-P", "-m", worker.__name__]


@dataclass(frozen=True)
class Answer:
    """What came of one item.

    Args:
        value: the worker's answer, plain values; None where it did not come to that.
        fault: how it failed, as the end of a sentence ("it …"); None if it did not.
        noise: what was printed meanwhile.
        hung: whether it was not done in time.
    """

    value: Any = None
    fault: str | None = None
    noise: str = ""
    hung: bool = False


def item(plugin: Plugin) -> dict[str, Any]:
    """What the worker finds a plugin by."""
    module = plugin.entry_point.value.partition(":")[0].strip()
    return {"kind": plugin.kind, "name": plugin.name, "package": plugin.distribution, "module": module}


def answers(task: str, items: Sequence[Mapping[str, Any]], limit: float) -> Iterator[Answer]:
    """Run a task of :mod:`hybridopt.programs.plugins.worker` for each item.

    Args:
        task: its name there.
        items: plain values; where one hangs, the others with the same ``"module"`` are not tried.
        limit: seconds for each item.

    Returns:
        One answer an item, in order.
    """
    hanging: dict[Any, Answer] = {}
    position = 0
    while position < len(items):
        left = items[position:]
        for item, answer in zip(left, _process(task, left, limit), strict=False):
            position += 1
            yield answer
            if answer.hung:
                hanging[item.get("module", position)] = answer
        while position < len(items) and items[position].get("module") in hanging:
            yield hanging[items[position]["module"]]
            position += 1


def _process(task: str, items: Sequence[Mapping[str, Any]], limit: float) -> Iterator[Answer]:
    """Answers of one process, the last of which may be that it hangs or has ended."""
    request = json.dumps({"task": task, "items": list(items)})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        WORKER,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        with contextlib.suppress(BrokenPipeError):
            _pipe(process.stdin).write(request)
            _pipe(process.stdin).close()
        lines = _lines(process)
        for _ in items:
            answer = _next(lines, process, limit)
            yield answer
            if answer.fault is not None and answer.value is None:
                return
    finally:
        _end(process)


def _pipe(end: IO[str] | None) -> IO[str]:
    """An end of a pipe that was asked for."""
    return cast(IO[str], end)


def _lines(process: subprocess.Popen[str]) -> queue.Queue[str | None]:
    """The worker's lines as they come; None when there are no more."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in _pipe(process.stdout):
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _next(lines: queue.Queue[str | None], process: subprocess.Popen[str], limit: float) -> Answer:
    try:
        line = lines.get(timeout=limit)
    except queue.Empty:
        return Answer(fault=f"it is not done after {limit:g} seconds", hung=True)
    if line is None:
        code = process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return Answer(fault=f"it ends the process ({how})")
    return Answer(**json.loads(line))


def _end(process: subprocess.Popen[str]) -> None:
    """End it, and whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    _pipe(process.stdout).close()
    process.wait()
