"""What a run is computed on."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from pathlib import Path


@cache
def hardware() -> str:
    """The processor, how many of its cores this process may use, the memory, and the GPUs that torch sees."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ", ".join(filter(None, [_processor(), f"{cores} cores", _memory(), *_gpus()]))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _memory() -> str:
    """Of the machine; a container may have less."""
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return ""
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"


def _gpus() -> list[str]:
    """None where torch was not imported, for then nobody computes on one."""
    torch = sys.modules.get("torch")
    return [] if torch is None else [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
