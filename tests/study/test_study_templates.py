"""The rule on templates, on results that are made up."""

import pytest

from hybridopt.core.study import Outcome, Results
from hybridopt.study.finding import find_study

SPREAD = (0.0, 0.004, -0.003, 0.002, -0.004, 0.003, -0.001, 0.001, 0.002, -0.004)
WAYS = {
    "Adam alone": 0.95,
    "mask of edge-popup": 0.95,
    "mask of an evolution strategy": 0.95,
    "start of an evolution strategy": 0.95,
    "start of Kalman inversion": 0.95,
    "random mask": 0.9,
}
CONDITIONS = ("few labels, 1,000 forwards", "many labels, 1,000 forwards")


def outcomes(mean, turn):
    values = [mean + SPREAD[(i + turn) % len(SPREAD)] for i in range(len(SPREAD))]
    return [Outcome(100 + i, {"test/accuracy": value}) for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("subnetworks", "chance", "verdict"),
    [
        ((0.99, 0.99), 0.9, "supported"),
        ((0.99, 0.99), 0.99, "refuted"),  # what helps is the start's scale, not what was found
        ((0.95, 0.99), 0.9, "mixed"),
        ((0.9, 0.9), 0.9, "refuted"),
    ],
)
def test_the_verdict_follows_the_rule(subnetworks, chance, verdict):
    arms = {}
    for here, subnetwork in zip(CONDITIONS, subnetworks, strict=True):
        ways = WAYS | {"subnetwork of edge-popup": subnetwork, "random subnetwork": chance}
        arms |= {f"{here}: {way}": outcomes(mean, 3 * turn) for turn, (way, mean) in enumerate(ways.items())}
    assert find_study("templates").judge(Results("docs", arms)).verdict == verdict
