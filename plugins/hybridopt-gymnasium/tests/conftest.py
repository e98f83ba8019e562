"""Parts that the tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from hybridopt.composition.compose import compose, plain_values


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small networks are slower on two threads, and much slower where cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def composed() -> Callable[..., dict[str, Any]]:
    """Overrides -> a resolved config of plain values, as a job gets it."""

    def make(*overrides: str) -> dict[str, Any]:
        return plain_values(compose(*overrides))

    return make
