"""Sizes that cannot fit are refused before anything of that size is made."""

from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.accelerators import CPUAccelerator
from torch import nn

from hybridopt.engine.memory import WithinMemory
from hybridopt.errors import ConfigError
from hybridopt.execution.runtime import check_devices


def test_what_fits_is_built_as_it_would_be_anywhere() -> None:
    torch.manual_seed(0)
    free = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Linear(4, 4), nn.GRU(3, 5))
    torch.manual_seed(0)
    with WithinMemory():
        watched = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Linear(4, 4), nn.GRU(3, 5))
    pairs = zip(free.parameters(), watched.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(10**6, 10**6),
        lambda: [nn.Linear(100, 100) for _ in range(100)],
        lambda: torch.zeros(2**40, dtype=torch.float64),
        lambda: torch.randn(10**5, 10**5),
        lambda: torch.ones(1).new_empty(10**9),
    ],
)
def test_what_does_not_fit_is_refused(make) -> None:
    with WithinMemory(limit=1_000_000), pytest.raises(ConfigError, match="choose smaller sizes"):
        make()


def test_more_processes_than_cores_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.devices=999 would start as many processes"):
        check_devices(SimpleNamespace(accelerator=CPUAccelerator(), num_devices=999))  # pyright: ignore
    check_devices(SimpleNamespace(accelerator=CPUAccelerator(), num_devices=2))  # pyright: ignore
