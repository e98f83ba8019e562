"""The rule that gives the strategy its name."""

import pytest
import torch
from hybridopt_example.one_plus_one_es import OnePlusOneES

from hybridopt import ConfigError


def begun(sigma=0.1):
    search = OnePlusOneES(sigma)
    search.generator = torch.Generator().manual_seed(0)
    search.start(torch.zeros(3))
    return search


def test_one_success_in_five_leaves_the_step_size_as_it_is():
    search = begun()
    for success in (False, False, False, False, True):
        search.tell(search.ask(), torch.tensor([1.0, 0.0 if success else 2.0]))
    assert search.step_size.item() == pytest.approx(0.1)


def test_steps_never_grow_beyond_the_first_ones():
    search = begun()
    search.tell(search.ask(), torch.tensor([1.0, 0.0]))
    assert search.step_size.item() == pytest.approx(0.1)


def test_the_better_one_of_the_two_stays():
    search = begun()
    parent, child = search.ask()
    search.tell(torch.stack([parent, child]), torch.tensor([1.0, 2.0]))
    assert torch.equal(search.recommend(), parent)
    search.tell(torch.stack([parent, child]), torch.tensor([1.0, 0.5]))
    assert torch.equal(search.recommend(), child)


def test_a_step_size_must_be_positive():
    with pytest.raises(ConfigError, match=r"strategy\.sigma must be a positive number, but is 0\."):
        OnePlusOneES(0.0)
