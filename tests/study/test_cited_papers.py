"""The rule on cited papers, on results that are made up."""

import pytest

from hybridopt.core.study import Results
from hybridopt.studies.cited_papers import WAYS
from hybridopt.study.finding import find_study

SPREAD = (0.0, 0.004, -0.003, 0.002, -0.004, 0.003, -0.001, 0.001)


@pytest.mark.parametrize(
    ("hidden", "filtered", "control", "fixed", "verdict"),
    [
        (0.1, 0.96, 0.3, 0.96, "supported"),
        (0.0, 0.88, 0.3, 0.96, "refuted"),
        (0.0, 0.96, 0.3, 0.96, "mixed"),  # the filter is as good, but cooling momentum needs its gradient
        (0.1, 0.88, 0.3, 0.96, "mixed"),
    ],
)
def test_the_verdict_follows_the_rule(hidden, filtered, control, fixed, verdict):
    moved = {"hidden": hidden, "last": 0.1}
    cells = {"cool": {"cool_momentum": moved, "openai_es": moved, "refused": True}}
    for turn, (way, mean) in enumerate(zip(WAYS, (filtered, 0.5, control, 0.5, 0.9, 0.9, 0.2, fixed), strict=True)):
        for i in range(len(SPREAD)):
            accuracy = mean + SPREAD[(i + turn) % len(SPREAD)]
            cells[f"{way} {i}"] = {"way": way, "seed": i, "accuracy": accuracy, "forwards": 1e4}
    assert find_study("cited_papers").judge(Results("docs", cells=cells)).verdict == verdict
