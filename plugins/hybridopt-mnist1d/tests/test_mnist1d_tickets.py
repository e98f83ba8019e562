"""The rule on tickets, on results that are made up."""

import pytest

from hybridopt import Outcome, Results
from hybridopt.study.finding import find_study

SPREAD = (0.0, 0.004, -0.003, 0.002, -0.004, 0.003, -0.001, 0.001)
OTHERS = {"ticket, weights redrawn": 0.5, "edge-popup, untrained": 0.5}
SHUFFLED = {"dense, values shuffled": 0.6, "ticket, values shuffled": 0.6}


def outcomes(mean: float, turn: int) -> list[Outcome]:
    values = [mean + SPREAD[(i + turn) % len(SPREAD)] for i in range(len(SPREAD))]
    return [Outcome(100 + i, {"test/accuracy": value}) for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("ticket", "chance", "verdict"),
    [
        (0.7, 0.4, "supported"),
        (0.6, 0.4, "refuted"),  # worse than the whole
        (0.7, 0.7, "refuted"),  # no better than chance
        (0.65, 0.4, "mixed"),  # as good as the whole
    ],
)
def test_the_verdict_follows_the_rule(ticket: float, chance: float, verdict: str) -> None:
    means = {"dense": 0.65, "ticket": ticket, "random mask": chance, **OTHERS, **SHUFFLED}
    arms = {arm: outcomes(mean, 3 * turn) for turn, (arm, mean) in enumerate(means.items())}
    assert find_study("mnist1d_tickets").judge(Results("docs", arms)).verdict == verdict
