"""The presets of docs/hybrids.md are the jobs that the study of hybrids holds against their parents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hybridopt import Outcome, Results, compose
from hybridopt.composition import building
from hybridopt.composition.compose import plain_values
from hybridopt.studies.hybrids import TASKS, Hybrids, arm_of

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "hybrids.md").read_text(encoding="utf-8")
PRESETS = sorted(path.stem for path in (ROOT / "conf" / "experiment" / "hybrid").glob("*.yaml"))


def job(*overrides: str) -> dict[str, Any]:
    return plain_values(compose(*overrides))


def strategies(config: dict[str, Any]) -> list[str]:
    return sorted(node.plugin.name for node in building.walk("strategy", config["strategy"]) if node.plugin)


def test_page_study_and_presets_have_the_same_tasks() -> None:
    assert sorted(TASKS) == PRESETS
    sections = re.findall(r"^## (\w+)\n\n(.+?)\n\n```bash\n(.+?)\n```", PAGE, re.MULTILINE | re.DOTALL)
    command = "hybridopt -m experiment=hybrid/{} seeds=10 sweep.controls=true"
    told = [(name, " ".join(why.split()), line) for name, why, line in sections]
    assert told == [(name, task.why, command.format(name)) for name, task in TASKS.items()]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_task(name: str) -> None:
    """The same but for the names of phases, and settings of the strategies, which the study tunes."""
    task = TASKS[name]
    preset, arm = job(f"experiment=hybrid/{name}"), job(*task.base, *task.hybrid)
    for part in ("model", "dataset", "objective", "encoding", "budget"):
        assert preset[part] == arm[part]
    assert strategies(preset) == strategies(arm)


@pytest.mark.parametrize("name", PRESETS)
def test_all_arms_of_a_task_share_it(name: str) -> None:
    """Another model's setting is all that sets an arm apart, beside its strategy."""
    task = TASKS[name]
    arms = {arm: job(*task.base, *overrides) for arm, overrides in task.arms().items()}
    for part in ("dataset", "objective", "encoding", "budget"):
        assert len({str(config[part]) for config in arms.values()}) == 1
    assert {"search alone", "descent alone"} == task.parents.keys()


@pytest.mark.parametrize(
    ("search", "descent", "verdict"),
    [(0.5, 0.6, "supported"), (0.5, 0.1, "mixed"), (0.05, 0.6, "mixed"), (0.05, 0.1, "refuted")],
)
def test_a_hybrid_wins_if_it_beats_both_parents(search: float, descent: float, verdict: str) -> None:
    """Of two tasks one is won and the other one as given; the last time the first is lost, too."""

    def outcomes(base: float) -> list[Outcome]:
        return [Outcome(100 + seed, {"test/loss": base + 0.001 * seed}) for seed in range(15)]

    first = {"search alone": 0.5, "descent alone": 0.1 if verdict == "refuted" else 0.5}
    given = {"heaviside": first, "outliers": {"search alone": search, "descent alone": descent}}
    arms = {
        arm_of(task, arm): outcomes(base)
        for task, bases in given.items()
        for arm, base in ({"hybrid": 0.1} | bases).items()
    }
    assert Hybrids().judge(Results("docs", arms)).verdict == verdict
