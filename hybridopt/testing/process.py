"""Settings that belong to the whole process, which a plugin has no business to change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def settings() -> dict[str, Any]:
    """The settings as they are, by the name of what changes them."""
    return {
        "torch.set_default_dtype": torch.get_default_dtype(),
        "torch.set_grad_enabled": torch.is_grad_enabled(),
        "torch.set_num_threads": torch.get_num_threads(),
        "torch.use_deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch.set_float32_matmul_precision": torch.get_float32_matmul_precision(),
        "torch.autograd.set_detect_anomaly": torch.is_anomaly_enabled(),
        "torch.backends.cudnn.benchmark": torch.backends.cudnn.benchmark,
        "numpy.seterr": np.geterr(),
        "os.chdir": os.getcwd(),
        "os.environ": dict(os.environ),
    }


@contextmanager
def restored() -> Iterator[None]:
    """Afterwards the settings are what they were, so that no check is misled by what another one has brought about."""
    before = settings()
    try:
        yield
    finally:
        if settings() != before:
            restore(before)


def restore(before: dict[str, Any]) -> None:
    """Put back what :func:`settings` has given."""
    for setting in (
        torch.set_default_dtype,
        torch.set_grad_enabled,
        torch.set_num_threads,
        torch.use_deterministic_algorithms,
        torch.set_float32_matmul_precision,
    ):
        setting(before[f"torch.{setting.__name__}"])
    torch.autograd.set_detect_anomaly(before["torch.autograd.set_detect_anomaly"])
    torch.backends.cudnn.benchmark = before["torch.backends.cudnn.benchmark"]
    np.seterr(**before["numpy.seterr"])
    os.chdir(before["os.chdir"])
    os.environ.clear()
    os.environ.update(before["os.environ"])
