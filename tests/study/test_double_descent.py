"""The rule on double descent, on results that are made up."""

import pytest

from hybridopt.core.study import Results
from hybridopt.study.finding import find_study

JITTER = (0.0, 0.004, -0.003, 0.002, -0.004, 0.003, -0.001, 0.001)
WIDTHS = (4, 5, 6, 8, 11, 16, 32, 64, 128)
CURVE = (0.4, 0.29, 0.28, 0.31, 0.32, 0.29, 0.23, 0.19, 0.15)
MONOTONE = (0.4, 0.35, 0.33, 0.31, 0.28, 0.25, 0.22, 0.19, 0.15)


def by_width(values, jitter):
    return {str(width): value + jitter for width, value in zip(WIDTHS, values, strict=True)}


def networks(i, error, tickets, redrawn, decayed):
    found = {"error": by_width(error, JITTER[i]), "decayed": by_width(decayed, JITTER[i - 3])}
    found["ticket"] = {str(w): v + JITTER[i - 5] for w, v in zip(WIDTHS[4:], tickets, strict=True)}
    found["redrawn"] = dict.fromkeys(found["ticket"], redrawn + JITTER[i - 2])
    return found


def features(i, descends):
    middle = 0.7 if descends else 0.15
    values = [0.15 + JITTER[i]] * 6 + [middle] + [0.15 + JITTER[i]] * 6
    return {"least squares": values, "ridge": values}


GOOD = (0.3, 0.28, 0.22, 0.18, 0.16)
FLAT = (0.3, 0.31, 0.3, 0.32, 0.31)


@pytest.mark.parametrize(
    ("error", "tickets", "redrawn", "decayed", "descends", "verdict"),
    [
        (CURVE, GOOD, 0.3, CURVE, False, "supported"),
        (CURVE, FLAT, 0.31, [0.1] * 9, True, "refuted"),
        (CURVE, GOOD, 0.3, [0.1] * 9, True, "mixed"),
        (MONOTONE, GOOD, 0.3, MONOTONE, True, "not distinguishable"),
    ],
)
def test_the_verdict_follows_the_rule(error, tickets, redrawn, decayed, descends, verdict):
    cells = {f"networks {i}": networks(i, error, tickets, redrawn, decayed) for i in range(len(JITTER))}
    cells |= {f"features {i}": features(i, descends) for i in range(len(JITTER))}
    assert find_study("double_descent").judge(Results("docs", cells=cells)).verdict == verdict
