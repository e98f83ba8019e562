"""The rule of the study on dimensions, on results that are made up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hybridopt import Outcome, Results
from hybridopt.study.finding import find_study, profile_of

SEEDS = 10


def results(growing: int, level: int, other_way: tuple[str, ...] = ()) -> Results:
    """Gaps to Adam: of some methods they grow by 0.05 per decade, of some they stay, of the others nobody can tell.

    Of ``other_way`` they do on large networks what they do not on small ones.
    """
    study = find_study("dimension")
    sizes = profile_of("dimension", study, "docs").sizes
    generator, arms = np.random.default_rng(0), {}
    methods = list(dict.fromkeys(name for of in sizes.values() for name in of["methods"]))
    for which, place, method in (
        (which, place, method)
        for which in sizes
        for place, method in enumerate(["adam", *methods], start=-1)
        if method in ("adam", *sizes[which]["methods"])
    ):
        rises = (0 <= place < growing) != (which == "large" and method in other_way)
        for units in sizes[which]["units"]:
            d = 75 * units + 10
            spread = 0.002 if place < growing + level else 0.1
            ends = 0.9 - (0.05 if rises else 0.0) * math.log10(d) + generator.normal(0, spread, SEEDS)
            arms[f"{method}, d = {d:,}" + ", few forwards" * (which == "large")] = [
                Outcome(seed, {"test/accuracy": end, "test/loss": 1 - end}) for seed, end in enumerate(map(float, ends))
            ]
    return Results("docs", arms)


@pytest.mark.parametrize(
    ("growing", "level", "verdict"),
    [(8, 0, "supported"), (5, 3, "supported"), (0, 8, "refuted"), (4, 4, "mixed"), (0, 0, "not distinguishable")],
)
def test_it_counts_the_methods_whose_gap_grows(growing: int, level: int, verdict: str) -> None:
    assert find_study("dimension").judge(results(growing, level)).verdict == verdict


def test_a_method_counts_if_large_networks_say_the_same() -> None:
    assert find_study("dimension").judge(results(5, 3, other_way=("mezo",))).verdict == "mixed"


def test_a_run_that_diverged_is_at_chance() -> None:
    found = results(0, 8)
    arm = "mezo, d = 38,410"
    lost = [
        Outcome(run.seed, {"test/accuracy": math.nan, "test/loss": math.nan}, diverged=True) for run in found.arms[arm]
    ]
    judged = find_study("dimension").judge(Results("docs", arms={**found.arms, arm: lost}))
    assert judged.numbers["gap/small/mezo"] == pytest.approx(0.8, abs=0.01)
