"""The rule of the study on finite differences, on results that are made up."""

from __future__ import annotations

import pytest

from hybridopt import Outcome, Results
from hybridopt.study.finding import find_study, profile_of

NAME, SEEDS, COST = "finite_differences", 8, 1000.0  # Adam's
PARAMETERS = {"breast_cancer": lambda units: 33 * units + 2, "digits": lambda units: 75 * units + 10}


def results(times: dict[str, float | None], grows: float = 0.0) -> Results:
    """The cost of finite differences over Adam's on the smallest network of each data set; None for never."""
    sizes, arms = profile_of(NAME, find_study(NAME), "docs").sizes, {}
    for task, of in sizes.items():
        ds = [PARAMETERS[task](units) for units in of["units"]]
        for d in ds:
            for method, budget in of["budgets"].items():
                own = 1.0 if method == "adam" else times[task]
                cost = None if own is None else COST * own * ((d / ds[0]) ** grows if method != "adam" else 1.0)
                arms[f"{task}, d = {d:,}, {method}"] = [run(seed, cost, budget) for seed in range(SEEDS)]
    return Results("docs", arms)


def run(seed: int, cost: float | None, budget: float) -> Outcome:
    """One that reaches every target at a cost, or never."""
    found = [] if cost is None else [(cost * (1 + 0.01 * seed), 0.99)]
    return Outcome(seed, {"test/accuracy": 0.9}, [(1.0, 0.5), *found, (budget, 0.99 if found else 0.5)])


@pytest.mark.parametrize(
    ("breast_cancer", "digits", "verdict"),
    [
        (3, 3, "supported"),
        (30, None, "refuted"),
        (3, 30, "mixed"),
        (3, 10, "mixed"),
        (10, 10, "not distinguishable"),
    ],
)
def test_the_largest_network_of_each_data_set_counts(breast_cancer: float, digits: float | None, verdict: str) -> None:
    judged = find_study(NAME).judge(results({"breast_cancer": breast_cancer, "digits": digits}))
    assert judged.verdict == verdict


def test_the_ratio_grows_by_an_exponent() -> None:
    judged = find_study(NAME).judge(results({"breast_cancer": 2, "digits": 2}, grows=0.5))
    assert judged.numbers["exponent/digits, mezo"] == pytest.approx(0.5)
