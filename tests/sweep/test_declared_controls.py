"""The control arms that strategies declare are jobs that compose."""

from __future__ import annotations

import inspect

import pytest

from hybridopt import compose, run
from hybridopt.composition import registry
from hybridopt.composition.compose import part_in_place, plain_values
from hybridopt.errors import ConfigError
from hybridopt.sweep.controls import PART

PHASES = ("+strategy/phases@strategy.phases.a=snes", "+strategy/phases@strategy.phases.b=adam")
GROUPS = (
    "+strategy/groups@strategy.groups.a=snes",
    "+strategy/groups@strategy.groups.b=adam",
    "+strategy.patterns.a=x",
)
NEEDED = {"sequence": PHASES, "alternate": PHASES, "split": GROUPS}


def declared() -> list[str]:
    """The strategies that say what their control arms are."""
    names = []
    for name in registry.names("strategy"):
        made = registry.find("strategy", name).load()
        if inspect.isclass(made) and "controls" in vars(made):
            names.append(name)
    return names


@pytest.mark.parametrize("name", declared())
def test_every_arm_that_a_strategy_declares_composes(name: str) -> None:
    job = (f"strategy={name}", *NEEDED.get(name, ()))
    whole = compose(*job)
    arms = registry.find("strategy", name).load().controls(whole.strategy)
    assert arms
    for overrides in arms.values():
        parts = [f"sweep.arm.part={one.removeprefix(PART)}" for one in overrides if one.startswith(PART)]
        replaced = any(one.startswith("strategy=") and not one.startswith(PART) for one in overrides)
        others = [one for one in overrides if not one.startswith(PART)]
        arm = part_in_place(plain_values(compose(*([] if replaced else job), *others, *parts)))
        assert arm["strategy"] != plain_values(whole)["strategy"]


@pytest.mark.parametrize("override", ["seeds=3", "sweep.controls=true"])
def test_in_a_script_what_belongs_to_a_sweep_is_refused_before_anything_runs(override: str, tmp_path) -> None:
    with pytest.raises(ConfigError, match="type hybridopt -m"):
        run(override, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()
