"""The temperature to begin with."""

from __future__ import annotations

import math

import pytest
import torch

from hybridopt.toolbox.annealing import initial_temperature


def test_a_rise_of_the_median_size_is_accepted_half_of_the_time():
    rises = torch.tensor([math.inf, 0.0, -3.0, 1.0, 2.0, math.nan])  # failures and ties do not count
    assert math.exp(-2.0 / float(initial_temperature(rises))) == pytest.approx(0.5)


@pytest.mark.parametrize("rises", [[0.0, math.nan, math.inf], []], ids=str)
def test_without_any_difference_it_is_zero(rises):
    assert initial_temperature(torch.tensor(rises)) == 0
