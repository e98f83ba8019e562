"""Memory: how much a chunk of a population may take, what says that there is no more, and what the allocator keeps."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

import torch

MEMORY = 128 * 2**20  # bytes of activations and parameters that a chunk of members may take


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on any device."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)


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
