"""Memory: how much a chunk of a population may take, what says that there is no more, and what the allocator keeps."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from contextlib import suppress
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from hybridopt.errors import ConfigError

MEMORY = 128 * 2**20  # bytes of activations and parameters that a chunk of members may take

PEAK_RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on any device."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)


@cache
def installed_memory() -> int:
    """Bytes of this machine's memory; more than any has where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**62


class WithinMemory(TorchDispatchMode):
    """Inside, tensors that are larger than the machine's memory are refused before they are allocated.

    Linux grants such memory, and kills whoever fills it. For building; each call costs microseconds.

    Args:
        limit: bytes; the machine's memory if None.
        together: whether all that are made inside count, as where they are kept; else each by itself.

    Raises:
        ConfigError: a tensor is larger, or all that were made inside are.
    """

    def __init__(self, limit: int | None = None, together: bool = True):
        super().__init__()
        self.limit, self.together, self.made = limit or installed_memory(), together, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        size = next((each for each in args[:2] if isinstance(each, list | tuple)), ())
        if func.namespace == "aten" and func.overloadpacket.__name__ in FACTORIES and all(map(_is_whole, size)):
            self.made *= self.together
            self.made += prod(size) * ((kwargs or {}).get("dtype") or torch.get_default_dtype()).itemsize
            if self.made > self.limit:
                raise ConfigError(
                    f"Tensors of {self.made / 2**30:,.0f} GiB would be made, the last one of the shape "
                    f"{tuple(size)}, and this machine has {self.limit / 2**30:,.0f} GiB: choose smaller sizes."
                )
        return func(*args, **(kwargs or {}))


without_limit = _disable_current_modes  # inside, a network is evaluated as ever, under vmap too

FACTORIES = {"empty", "empty_strided", "zeros", "ones", "full", "rand", "randn", "new_empty", "new_zeros", "new_full"}


def _is_whole(size: Any) -> bool:
    return isinstance(size, int)


def begin_peak() -> None:
    """From now on :func:`peak_memory` measures, as far as the system can forget a former peak.

    What the process has freed is returned to the kernel before, since glibc's heap would count as in use.
    """
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    return_freed_memory()
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may refuse it
            PEAK_RESET.write_text("5")  # Linux, proc(5): the peak becomes what is resident now


def return_freed_memory() -> None:
    """Return to the kernel what the process has freed and glibc's heap keeps."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)


def peak_memory() -> float:
    """The greatest memory since :func:`begin_peak`, in MB (2^20 bytes).

    On a GPU, what tensors took on it. Else what was resident of the whole process: with the interpreter, its libraries,
    and whatever else was alive before, but not with a peak of before. Where the system cannot forget that (macOS, a
    sandbox without ``/proc/self/clear_refs``) it is the peak since the process began.
    """
    if torch.cuda.is_initialized() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    if sys.platform == "linux":
        with suppress(OSError):
            lines = STATUS.read_text(encoding="utf-8", errors="replace").splitlines()
            return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM:"))
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


@cache
def keep_freed_memory() -> None:
    """Keep freed blocks of up to 32 MB in glibc's heap, for the next tensors; for a program, not for a library.

    By default glibc returns every such block to the kernel, and gets it again page by page, zeroed: half of the time
    of a population's forward pass. It changes the allocator of the whole process, so that only a program may call it.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            threshold, trim = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
            libc.mallopt(threshold, 32 * 2**20)
            libc.mallopt(trim, 2**31 - 1)
