"""Groups of real processes that share a population out."""

from __future__ import annotations

import math

import pytest

from hybridopt.errors import PluginError
from hybridopt.study.processes import group_times

NETWORK = ("model.hidden=[4]", "dataset=digits", "dataset.batch_size=16")


@pytest.mark.slow
def test_groups_are_timed_and_a_mistake_comes_back_as_a_sentence() -> None:
    strategies = [{"name": "openai_es", "popsize": n} for n in (4, 64)]
    alone, both = group_times(NETWORK, strategies, [1, 2], count=3)
    assert (alone.processes, both.processes) == (1, 2)
    assert 0 < alone.generations[0] < alone.generations[1]
    assert math.isnan(alone.exchange)
    assert both.exchange > 0
    with pytest.raises(PluginError, match="no_such"):
        group_times(NETWORK, [{"name": "no_such"}], [1], count=1)
