"""The presets of docs/hybrids.md are the jobs that its script holds against their parents."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from hybridopt import compose
from hybridopt.composition import building
from hybridopt.composition.compose import plain_values

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "hybrids.md").read_text(encoding="utf-8")
PRESETS = sorted(path.stem for path in (ROOT / "conf" / "experiment" / "hybrid").glob("*.yaml"))


@pytest.fixture(scope="module")
def gallery() -> Any:
    sys.path.insert(0, str(ROOT / "scripts" / "claims"))
    try:
        yield importlib.import_module("hybrids")
    finally:
        sys.path.pop(0)


def job(*overrides: str) -> dict[str, Any]:
    return plain_values(compose(*overrides))


def strategies(config: dict[str, Any]) -> list[str]:
    return sorted(node.plugin.name for node in building.walk("strategy", config["strategy"]) if node.plugin)


def test_page_script_and_presets_have_the_same_tasks(gallery: Any) -> None:
    assert sorted(gallery.TASKS) == PRESETS
    assert re.findall(r"^## (\w+): (?:not )?won$", PAGE, re.MULTILINE) == list(gallery.TASKS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_task(name: str, gallery: Any) -> None:
    """The same but for the names of phases, and settings of the strategies, which the script tunes."""
    task = gallery.TASKS[name]
    preset, arm = job(f"experiment=hybrid/{name}"), job(*task.base, *task.hybrid)
    for part in ("model", "dataset", "objective", "encoding", "budget"):
        assert preset[part] == arm[part]
    assert strategies(preset) == strategies(arm)


@pytest.mark.parametrize("name", PRESETS)
def test_all_arms_of_a_task_share_it(name: str, gallery: Any) -> None:
    """Another model's setting is all that sets an arm apart, beside its strategy."""
    task = gallery.TASKS[name]
    arms = {arm: job(*task.base, *overrides) for arm, overrides in task.arms().items()}
    for part in ("dataset", "objective", "encoding", "budget"):
        assert len({str(config[part]) for config in arms.values()}) == 1
    assert {"search alone", "descent alone"} == task.parents.keys()


def test_a_hybrid_wins_if_it_beats_both_parents(gallery: Any) -> None:
    seeds = [str(seed) for seed in range(10)]
    good, bad = ({seed: base + 0.01 * int(seed) for seed in seeds} for base in (0.1, 0.5))
    arms = {"hybrid": good, "search alone": bad, "descent alone": bad}
    alike = arms | {"descent alone": good}
    won, lost = (gallery.page({"heaviside": each}, 10, 12) for each in (arms, alike))
    assert "## heaviside: won" in won
    assert "## heaviside: not won" in lost
    assert "The hybrid wins 0 of 1." in lost
