"""Claims, and the rule that the studies of them share."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hybridopt_reproductions import peers
from hybridopt_reproductions.claims import Claim, ClaimsStudy, Finding, verdict_of

from hybridopt import ConfigError, Outcome, Results, names
from hybridopt.study.finding import find_study
from hybridopt.testing import installed

STUDIES = [plugin.name for plugin in installed("study", "hybridopt-reproductions")]
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SPREAD = (0.0, 0.004, -0.003, 0.002, -0.004, 0.003, -0.001, 0.001, 0.002, -0.002)


def study(name: str) -> ClaimsStudy:
    found = find_study(name)
    assert isinstance(found, ClaimsStudy)
    return found


def outcomes(mean: float, turn: int = 0) -> list[Outcome]:
    values = [mean + SPREAD[(i + turn) % len(SPREAD)] for i in range(len(SPREAD))]
    return [Outcome(100 + i, {"test/accuracy": value, "cost/forwards": 1e6}) for i, value in enumerate(values)]


@pytest.mark.parametrize("name", STUDIES)
def test_claims_are_about_methods_that_there_are(name: str) -> None:
    claims = study(name).claims.values()
    assert {method for claim in claims for method in claim.methods} <= {*names("strategy"), *names("objective")}
    assert all(claim.says in study(name).rule for claim in claims)


def test_the_readme_has_a_row_for_each_study() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)) == sorted(STUDIES)


@pytest.mark.parametrize(
    ("held", "verdict"),
    [((True, True), "supported"), ((True, False), "mixed"), ((False, False), "refuted"), ((), "not distinguishable")],
)
def test_the_verdict_follows_the_rule(held: tuple[bool, ...], verdict: str) -> None:
    claim = Claim(("adam",), "it learns")
    assert verdict_of([Finding(claim, "", holds) for holds in held]) == verdict


ABLATIONS = {
    "crossover and mutation": 0.95,
    "mutation alone": 0.92,
    **{f"{name}, {pairs} pairs": 0.95 for name in ("evolution strategy", "stand-in") for pairs in (16, 64, 256)},
    "CoolMomentum": 0.96,
    "momentum with a cosine": 0.965,
    "one epoch": 0.16,
    "its head annealed": 0.57,
    "gradient descent instead": 0.96,
}


@pytest.mark.parametrize(
    ("changed", "lost"),
    [
        ({}, set()),
        ({"mutation alone": 0.95}, {"crossover"}),
        ({"stand-in, 64 pairs": 0.92}, {"proxy"}),
        ({"CoolMomentum": 0.95}, {"cooling"}),
        ({"gradient descent instead": 0.5}, {"head"}),
    ],
)
def test_each_claim_can_be_lost(changed: dict[str, float], lost: set[str]) -> None:
    made = study("ablations")
    arms = {arm: outcomes(mean, turn) for turn, (arm, mean) in enumerate((ABLATIONS | changed).items())}
    assert arms.keys() == made.arms(made.profiles["docs"]).keys()
    results = Results("docs", arms)
    found = list(made.findings(results, made.comparisons(results)))
    assert [each.claim for each in found] == list(made.claims.values())
    assert {
        key for key, claim in made.claims.items() for each in found if each.claim == claim and not each.holds
    } == lost


def test_runs_that_diverged_bear_out_nothing() -> None:
    made = study("digits_accuracy")
    arms = {arm: [Outcome(100, {}, diverged=True)] for arm in made.arms(made.profiles["docs"])}
    judgement = made.judge(Results("docs", arms))
    assert judgement.verdict == "refuted"
    assert [row[-1] for row in judgement.tables[0].rows] == ["no"] * len(made.claims)


@pytest.mark.parametrize(("ours", "verdict"), [(1e-3, "supported"), (1e-6, "supported"), (1.0, "refuted")])
def test_a_search_is_behind_where_the_other_is_better(ours: float, verdict: str) -> None:
    cells = {
        f"{function}, {seed}": {
            "strategy": "simulated_annealing", "function": function, "seed": seed,
            "ours": ours * (1 + SPREAD[seed % 10]), "theirs": 1e-3 * (1 + SPREAD[(seed + 3) % 10]),
        }
        for function in ("rastrigin", "ackley")
        for seed in range(15)
    }  # fmt: skip
    assert study("peers").judge(Results("docs", cells=cells)).verdict == verdict


@pytest.mark.parametrize("peer", [peers.lshade, peers.swarm])
def test_a_missing_peer_is_told_with_what_to_type(peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("mealpy", "pyswarms"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=re.escape(f"type {peers.INSTALL}")):
        peer(peers.FUNCTIONS["sphere"], 0, 200)
