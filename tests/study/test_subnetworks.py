"""The rule on subnetworks of random networks, on results that are made up."""

import pytest

from hybridopt.core.study import Outcome, Results
from hybridopt.study.finding import find_study

SPREAD = (0.0, 0.004, -0.003, 0.002, -0.004, 0.003, -0.001, 0.001)


def outcomes(mean, turn):
    values = [mean + SPREAD[(i + turn) % len(SPREAD)] for i in range(len(SPREAD))]
    return [Outcome(100 + i, {"test/accuracy": value}) for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("masks", "chance", "verdict"),
    [
        ((0.80, 0.96), 0.3, "supported"),  # as good as the trained network where it is wide
        ((0.80, 0.90), 0.3, "refuted"),  # worse by more than the margin at both widths
        ((0.96, 0.90), 0.3, "mixed"),
        ((0.96, 0.965), 0.99, "refuted"),  # no better than chance
    ],
)
def test_the_verdict_follows_the_rule(masks, chance, verdict):
    arms = {}
    for width, mask in zip((16, 256), masks, strict=True):
        arms[f"{width} units, trained"] = outcomes(0.965, 0)
        arms[f"{width} units, edge-popup"] = outcomes(mask, 3)
        arms[f"{width} units, best of random masks"] = outcomes(chance, 5)
    assert find_study("subnetworks").judge(Results("docs", arms)).verdict == verdict
