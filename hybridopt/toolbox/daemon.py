"""Calls of foreign code that starts threads of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any


def on_daemon(call: Callable[[], Any]) -> Any:
    """The call's result, from a daemon thread: what it starts are daemons too, and do not keep the process alive."""
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # handed to the caller, who raises it
            future.set_exception(error)

    Thread(target=work, daemon=True).start()
    return future.result()
