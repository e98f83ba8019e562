"""The rule on how often the report is wrong, and sweeps that are made up for it."""

from __future__ import annotations

import pytest

from hybridopt.core.study import Results
from hybridopt.studies.report_errors import ReportErrors
from hybridopt.study.made_up_sweeps import SCENARIOS, swept


def cell(wrong: int, sweeps: int) -> dict:
    counts = {"signs": 0, "decided": 0, "alike": 6 * sweeps, "differing": 0, "covered": 6 * sweeps}
    return {"scenario": "no effect", "seeds": 5, "sweeps": sweeps, "wrong": wrong, **counts, "intervals": 6 * sweeps}


@pytest.mark.parametrize(
    ("wrong", "sweeps", "verdict"),
    [(20, 500, "supported"), (50, 500, "refuted"), (1, 20, "not distinguishable")],
)
def test_the_verdict_follows_the_rule(wrong: int, sweeps: int, verdict: str) -> None:
    judgement = ReportErrors().judge(Results("docs", cells={"no effect, 5 seeds": cell(wrong, sweeps)}))
    assert judgement.verdict == verdict
    assert judgement.numbers["error/highest"] == pytest.approx(wrong / sweeps)


def test_the_report_tells_a_large_difference_and_none_where_there_is_none() -> None:
    far = swept(SCENARIOS["three alike, one far better"], 10, 5)
    assert far.decided == far.differing == 15
    assert far.signs == 0
    assert swept(SCENARIOS["no effect"], 3, 5).wrong == 0  # three seeds cannot tell four strategies apart
