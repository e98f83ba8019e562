"""Suites: results that are shipped, and a strategy that is ranked among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridopt import ConfigError, DataError, Outcome, Results
from hybridopt.core.study import Tuned
from hybridopt.study.finding import find_study
from hybridopt.study.standings import Standings, best
from hybridopt.study.stored import DIGESTS, store, stored
from hybridopt.study.suites import SUITES, suite_of

SEEDS = range(8)


def runs(level: float, metric: str) -> list[Outcome]:
    """Whose scores are around a level, and higher in validation."""
    return [
        Outcome(seed, {f"test/{metric}": level + 0.001 * seed, f"final/val/{metric}": level + 0.1}) for seed in SEEDS
    ]


def arms(**levels: float) -> dict[str, list[Outcome]]:
    """Of strategies, on each task and budget of the small suite."""
    suite = SUITES["small"]
    return {
        f"{task} {budget:g} {strategy}": runs(level, each.metric)
        for task, each in suite.tasks.items()
        for budget in suite.budgets
        for strategy, level in levels.items()
    }


# -- what is shipped --------------------------------------------------------------------------------------------------


def test_stored_results_come_back(tmp_path: Path) -> None:
    kept = Results(
        "docs",
        {"a": [Outcome(1, {"m": 0.5, "n": float("nan")}), Outcome(2, {"m": 0.25, "n": 1.0}, diverged=True)]},
        tuned={"a": Tuned(["strategy.lr=0.1"], 4, 1e6)},
        settings={"suite": "small"},
        provenance={"date": "2026-01-01"},
    )
    found = stored(store(kept, tmp_path / "one.parquet"))
    assert repr(found) == repr(kept)


@pytest.mark.parametrize("change", ["bytes", "other", "digest", "gone"])
def test_what_was_changed_is_refused(change: str, tmp_path: Path) -> None:
    path = store(Results("docs", arms=arms(adam=0.9)), tmp_path / "one.parquet")
    other = store(Results("docs", arms=arms(adam=0.99)), tmp_path / "two.parquet")
    if change == "bytes":
        path.write_bytes(path.read_bytes()[:-1])
    elif change == "other":
        path.write_bytes(other.read_bytes())
    elif change == "digest":
        (tmp_path / DIGESTS).unlink()
    else:
        path.unlink()
    with pytest.raises(DataError, match=str(path)):
        stored(path)


def test_two_files_are_held_by_one_list(tmp_path: Path) -> None:
    one, two = (store(Results("docs", arms=arms(adam=level)), tmp_path / f"{level}.parquet") for level in (0.1, 0.2))
    assert stored(one).arms != stored(two).arms


# -- ranks ------------------------------------------------------------------------------------------------------------


def test_ranks_are_means_over_tasks_and_ties_share_theirs() -> None:
    scores = {
        "one": {"a": {"0": 0.9}, "b": {"0": 0.5}, "c": {"0": 0.5}, "late": {}},
        "two": {"a": {"0": 0.1}, "b": {"0": 0.7}, "c": {"0": float("-inf")}, "late": {"0": 1.0}},
    }
    standings = Standings(scores)
    assert standings.ranks == {"a": [1.0, 2.0], "b": [2.5, 1.0], "c": [2.5, 3.0]}
    assert standings.order[-1] == "c"
    assert "has no rank" in standings.place_of("late")
    assert standings.place_of("c") == "c is number 3 of 3, with a mean rank of 2.75."
    assert best(["b", "c", "nobody"], scores["one"]) == "b"
    assert best(["nobody"], scores["one"]) is None


# -- the headline -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        ({"adam": 0.9, "openai_es": 0.5, "cem": 0.6}, "supported"),
        ({"adam": 0.5, "openai_es": 0.9, "sgd": 0.6}, "refuted"),
        ({"adam": 0.5, "openai_es": 0.5}, "not distinguishable"),
    ],
)
def test_the_verdict_is_that_of_the_rule(levels: dict[str, float], verdict: str) -> None:
    judgement = find_study("headline").judge(Results("docs", arms=arms(**levels)))
    assert judgement.verdict == verdict
    assert len(judgement.found) == 8


def test_wins_on_some_tasks_are_mixed() -> None:
    found = arms(adam=0.9, cem=0.5)
    swapped = arms(adam=0.5, cem=0.9)
    found |= {name: each for name, each in swapped.items() if name.startswith("digits 300000")}
    assert find_study("headline").judge(Results("docs", arms=found)).verdict == "mixed"


def test_a_strategy_of_ones_own_is_ranked_among_those_that_are_kept(tmp_path: Path) -> None:
    kept = store(Results("docs", arms=arms(adam=0.9, cem=0.5, sgd=0.8)), tmp_path / "small.parquet")
    study = find_study("headline", {"strategy": "mine", "against": str(kept)})
    assert {arm.split(" ")[2] for arm in study.arms(study.profiles["docs"])} == {"mine"}
    judgement = study.judge(Results("docs", arms=arms(mine=0.7)))
    assert judgement.found[0] == "mine is number 3 of 4, with a mean rank of 3."
    assert study.draw(Results("docs", arms=arms(mine=0.7))) is not None


@pytest.mark.parametrize("wrong", [{"suite": "tiny"}, {"sute": "small"}, {"suite": 3}])
def test_a_wrong_setting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        find_study("headline", wrong)


def test_a_suite_is_found_by_name() -> None:
    assert suite_of("small").tasks.keys() <= suite_of("standard").tasks.keys()
    with pytest.raises(ConfigError, match="small"):
        suite_of("smal")
