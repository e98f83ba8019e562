"""The rule of the study on dimensions, on results that are made up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hybridopt import Outcome, Results
from hybridopt.study.finding import find_study, profile_of

SEEDS = 10


def results(growing: int, level: int, noise: float = 0.002) -> Results:
    """Gaps to Adam: of some methods they grow by 0.05 per decade, of some they stay, of the others nobody can tell."""
    study = find_study("dimension")
    sizes = profile_of("dimension", study, "docs").sizes
    generator, arms = np.random.default_rng(0), {}
    for place, method in enumerate(("adam", *sizes["methods"]), start=-1):
        for units in sizes["units"]:
            d = 75 * units + 10
            slope = 0.05 if 0 <= place < growing else 0.0
            spread = noise if place < growing + level else 0.1
            ends = 0.9 - slope * math.log10(d) + generator.normal(0, spread, SEEDS)
            arms[f"{method}, d = {d:,}"] = [
                Outcome(seed, {"test/accuracy": end, "test/loss": 1 - end}) for seed, end in enumerate(map(float, ends))
            ]
    return Results("docs", arms)


@pytest.mark.parametrize(
    ("growing", "level", "verdict"),
    [(7, 0, "supported"), (4, 3, "supported"), (0, 7, "refuted"), (3, 3, "mixed"), (0, 0, "not distinguishable")],
)
def test_it_counts_the_methods_whose_gap_grows(growing: int, level: int, verdict: str) -> None:
    assert find_study("dimension").judge(results(growing, level)).verdict == verdict


def test_a_run_that_diverged_is_at_chance() -> None:
    found = results(0, 7)
    arm = "mezo, d = 38,410"
    lost = [
        Outcome(run.seed, {"test/accuracy": math.nan, "test/loss": math.nan}, diverged=True) for run in found.arms[arm]
    ]
    judged = find_study("dimension").judge(Results("docs", arms={**found.arms, arm: lost}))
    assert judged.numbers["gap/mezo"] == pytest.approx(0.8, abs=0.01)
