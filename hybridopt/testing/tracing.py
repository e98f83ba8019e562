"""Recordings on any device, in the place of CUDA graphs: a function is traced to torch's operations, and these are run.

What a CUDA graph cannot hold is refused here, too: numbers read from a tensor, and shapes that depend on data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from hybridopt.engine.replay import RECORDERS, Replay

INDEX = torch.ops.aten.index.Tensor  # whose shape depends on data where an index is a mask


class FixedShapes(TorchDispatchMode):
    """Refuses operations whose results have shapes that depend on data."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        dynamic = torch.Tag.dynamic_output_shape in func.tags
        if dynamic and (func is not INDEX or any(is_mask(index) for index in args[1])):
            raise RuntimeError(f"{func} makes shapes that depend on data")
        return func(*args, **(kwargs or {}))


def is_mask(index: Tensor | None) -> bool:
    """Whether an index is by yes and no."""
    return index is not None and index.dtype in (torch.bool, torch.uint8)


def by_tracing(function: Callable[..., Tensor], arguments: Sequence[Tensor]) -> Replay:
    """A replay of the operations that a function has done on these arguments; Python is not asked again."""

    def strict(*values: Tensor) -> Tensor:
        with FixedShapes():
            return function(*values)

    traced = make_fx(strict)(*arguments)

    def replay() -> Tensor:
        with torch.no_grad():
            return traced(*arguments)

    return replay


@contextmanager
def recording_on_cpus() -> Iterator[None]:
    """Inside, ``oracle.graph=auto`` records on a CPU."""
    with patch.dict(RECORDERS, {"cpu": by_tracing}):
        yield
