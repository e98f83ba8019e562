"""A mapping of plugins may name, in the signature, what an empty one stands for."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from hybridopt import Objective, Strategy
from hybridopt.composition import building
from hybridopt.objectives.mean_output import MeanOutput
from hybridopt.objectives.zero_weights import ZeroWeights
from hybridopt.programs.plugins.settings import setting
from hybridopt.testing import as_plugin

USUAL = {"first": {"name": "mean_output", "index": 1}}


class Measuring(Strategy):
    """Takes measures."""

    requires = frozenset()

    def __init__(
        self,
        measures: Annotated[dict[str, Objective], {"first": {"name": "mean_output", "index": 1}}] = {},  # noqa: B006
    ):
        super().__init__()
        self.measures = dict(measures)

    def step(self, oracle: Any, batch: Any) -> dict[str, float]:
        return {}


@pytest.mark.parametrize("settings", [{}, {"measures": {}}, {"measures": None}])
def test_an_empty_mapping_stands_for_the_usual_parts(settings: dict[str, Any]) -> None:
    made = building.make(as_plugin(Measuring), settings).measures
    assert {name: (type(one), one.index) for name, one in made.items()} == {"first": (MeanOutput, 1)}


def test_who_names_some_has_these_alone() -> None:
    made = building.make(as_plugin(Measuring), {"measures": {"zeros": {"name": "zero_weights"}}}).measures
    assert {name: type(one) for name, one in made.items()} == {"zeros": ZeroWeights}
    assert Measuring().measures == {}  # from Python, nobody builds by name


def test_they_are_nodes_of_the_config_and_are_shown() -> None:
    plugin = as_plugin(Measuring)
    (parameter,) = plugin.describe().nested
    assert [(key, item) for _, key, item in building.nested(plugin, {"measures": {}})] == [*USUAL.items()]
    assert setting(parameter).default == "{first: {index: 1, name: mean_output}}"
