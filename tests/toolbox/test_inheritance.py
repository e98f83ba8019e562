"""What one phase makes of what another has learned: the map between widths and second moments, and populations."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from hybridopt.core.handover import Handover
from hybridopt.toolbox import inheritance

POSITIVE = st.lists(st.floats(0.5, 1.0), min_size=2, max_size=20).map(lambda x: torch.tensor(x, dtype=torch.float64))


@given(POSITIVE, st.floats(1e-3, 1.0))
def test_widths_go_as_one_over_the_root_of_second_moments(ratios: torch.Tensor, sigma: float) -> None:
    """With ratios below the bound: v = c / width^2 is mapped to widths whose geometric mean is the setting."""
    x0 = torch.zeros_like(ratios)
    widths = inheritance.widths(Handover(second_moments=7e-5 / ratios.square()), sigma, x0)
    torch.testing.assert_close(widths / widths[0], ratios / ratios[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(widths.log().mean().exp(), torch.tensor(sigma, dtype=torch.float64), rtol=1e-6, atol=0)


@given(POSITIVE, st.integers(0, 100))
def test_there_and_back_is_the_same_but_for_the_size(ratios: torch.Tensor, seed: int) -> None:
    gradient = torch.randn(len(ratios), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    moments = inheritance.second_moments(Handover(sigma=ratios), gradient)
    assert moments is not None
    torch.testing.assert_close(moments.mean(), gradient.square().mean())
    back = inheritance.widths(Handover(second_moments=moments), 1.0, gradient)
    torch.testing.assert_close(back / back[0], ratios / ratios[0], rtol=1e-5, atol=0)


def test_what_has_no_slope_has_a_bound() -> None:
    """A pixel that is never inked has no slope, and would have an infinite width."""
    moments = torch.tensor([0.0, 1e-4, 1e-4, 1e-30])
    widths = inheritance.widths(Handover(second_moments=moments), 0.1, torch.zeros(4))
    assert bool((widths > 0).all())
    assert float(widths.max() / widths.min()) <= inheritance.MOST**2 * 1.001


def test_what_is_of_the_same_kind_is_taken_as_it_is() -> None:
    sigma, moments = torch.rand(5) + 0.1, torch.rand(5)
    both = Handover(sigma=sigma, second_moments=moments)
    assert torch.equal(inheritance.widths(both, 3.0, torch.zeros(5)), sigma)
    assert torch.equal(inheritance.second_moments(both, torch.ones(5)), moments)
    assert inheritance.second_moments(Handover(), torch.ones(5)) is None
    assert torch.equal(inheritance.widths(Handover(), 3.0, torch.zeros(5)), torch.full((5,), 3.0))


@given(st.integers(1, 8), st.integers(1, 8))
def test_a_population_is_cut_or_filled_up_and_keeps_the_start(mine: int, theirs: int) -> None:
    made, given_ = torch.zeros(mine, 3), torch.arange(1.0, theirs + 1)[:, None].expand(theirs, 3)
    members = inheritance.members(Handover(population=given_), made)
    taken = min(mine - 1, theirs)
    assert members.shape == made.shape
    assert members[:, 0].tolist() == [0.0, *range(1, taken + 1), *[0.0] * (mine - 1 - taken)]
