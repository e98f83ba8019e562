"""The rule on annealed heads, on results that are made up."""

import pytest

from hybridopt.core.study import Outcome, Results
from hybridopt.study.finding import find_study

SPREAD = (0.0, 0.004, -0.003, 0.002, -0.004, 0.003, -0.001, 0.001)


def outcomes(mean, turn):
    values = [mean + SPREAD[(i + turn) % len(SPREAD)] for i in range(len(SPREAD))]
    return [Outcome(100 + i, {"test/accuracy": value}) for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("base", "annealed", "longer", "verdict"),
    [
        ((0.5, 0.8), (0.95, 0.95), (0.955, 0.955), "supported"),
        ((0.5, 0.8), (0.7, 0.85), (0.95, 0.95), "refuted"),
        ((0.5, 0.8), (0.7, 0.95), (0.95, 0.95), "mixed"),
        ((0.95, 0.95), (0.95, 0.95), (0.95, 0.95), "mixed"),  # comparable, and no better than where it starts
    ],
)
def test_the_verdict_follows_the_rule(base, annealed, longer, verdict):
    arms = {}
    for i, epochs in enumerate(("1 epoch", "10 epochs")):
        arms[f"{epochs}: SGD"] = outcomes(base[i], 0)
        arms[f"{epochs}: then annealing"] = outcomes(annealed[i], 3)
        arms[f"{epochs}: then as much SGD"] = outcomes(longer[i], 5)
    assert find_study("baselines").judge(Results("docs", arms)).verdict == verdict
