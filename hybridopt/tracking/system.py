"""How busy the machine is, beside the metrics of a run; MLflow's UI shows it under System metrics."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from hybridopt.errors import ConfigError, StorageError
from hybridopt.tracking.tracker import Tracker

PERIOD = 5.0  # seconds between two looks
MEGABYTE = 2**20


@contextmanager
def watching(tracker: Tracker, clock: Callable[[], int], wanted: bool, period: float = PERIOD) -> Iterator[None]:
    """Inside, a thread reports processor, memory and disk, by MLflow's names, at the forwards spent.

    Args:
        tracker: where they go.
        clock: gives the forwards spent.
        wanted: whether to.
        period: seconds between two looks.

    Raises:
        ConfigError: it is wanted, and psutil is not installed.
    """
    if not wanted:
        yield
        return
    look = _looker()
    stop = threading.Event()

    def follow() -> None:
        while not stop.wait(period):
            with suppress(StorageError):  # the run itself will hear of it
                tracker.log_metrics(look(), clock())

    thread = threading.Thread(target=follow, name="system-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _looker() -> Callable[[], dict[str, float]]:
    try:
        import psutil
    except ImportError as error:
        raise ConfigError(
            'tracking.system_metrics=true needs psutil: type pip install "hybridopt[system]", or leave it off.'
        ) from error
    psutil.cpu_percent()  # of the time since the last call
    process = psutil.Process()

    def look() -> dict[str, float]:
        memory = psutil.virtual_memory()
        return {
            "system/cpu_utilization_percentage": psutil.cpu_percent(),
            "system/system_memory_usage_megabytes": memory.used / MEGABYTE,
            "system/system_memory_usage_percentage": memory.percent,
            "system/process_memory_megabytes": process.memory_info().rss / MEGABYTE,
            "system/disk_usage_percentage": psutil.disk_usage(".").percent,
        }

    return look
