"""What tells tensors apart."""

from __future__ import annotations

import hashlib
from typing import Any, cast

import torch
from torch import Tensor


def digest(*tensors: Tensor) -> str:
    """Sixteen hexadecimal digits of shapes, types and bytes."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(cast(Any, tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()))
    return found.hexdigest()[:16]
