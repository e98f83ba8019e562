"""Selection by bits is torch's ``where``."""

from __future__ import annotations

import pytest
import torch

from hybridopt.toolbox.selection import select


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 40), (3, 1)], ids=["each", "rows"])
def test_it_is_where_to_the_bit(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    odd = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0] * 8, dtype=dtype)
    first, second = torch.randn((3, 40), generator=generator).to(dtype), odd.repeat(3, 1)
    condition = torch.rand(shape, generator=generator) < 0.5
    for one, other in ((first, second), (second, first)):
        wanted = torch.where(condition, one, other)
        for kind in (torch.bool, torch.float32, torch.int64):
            found = select(condition.to(kind), one, other)
            assert found.dtype == dtype
            assert torch.equal(found.view(torch.uint8), wanted.view(torch.uint8))
