"""Margins against a loop."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridopt.toolbox.margins import margins, right_and_rival


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(2, 6), st.integers(0, 10**6))
def test_they_are_to_the_best_of_the_others(samples, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-2, 3, (samples, classes), generator=generator).double()  # with ties
    targets = torch.randint(classes, (samples,), generator=generator)
    right, rival = right_and_rival(scores, targets)
    lead = margins(scores)
    for row in range(samples):
        for column in range(classes):
            others = [scores[row, other].item() for other in range(classes) if other != column]
            assert lead[row, column] == scores[row, column] - max(others)
        assert right[row] - rival[row] == lead[row, targets[row]]


def test_one_class_has_no_rival():
    scores = torch.tensor([[2.0], [-1.0]])
    assert torch.equal(margins(scores), scores)
    _, rival = right_and_rival(scores, torch.tensor([0, 0]))
    assert rival.tolist() == [-torch.inf, -torch.inf]
