"""The ways in which strategies make a trial work, and an installed strategy for each: found by watching one step."""

from __future__ import annotations

from typing import Any

from jobs import strategy_overrides

from hybridopt.composition.registry import Plugin
from hybridopt.core.oracle import Oracle
from hybridopt.testing import installed
from hybridopt.testing.problems import problem_of
from hybridopt.testing.runs import Run

MECHANISMS = {  # what a strategy asks of its oracle in a step, and nothing besides
    "optimiser": {"gradient", "update"},
    "closure": {"gradient", "update by a closure"},
    "dense search": {"losses of Tensor"},
    "seeded": {"losses of SeededPopulation"},
    "low-rank": {"losses of LowRankPopulation"},
    "outputs": {"outputs"},
    "jvp": {"jvp", "losses of SeededPopulation"},
}


class Watched(Oracle):
    """An oracle that notes what it is asked.

    Attributes:
        asked: what it was asked, in words.
    """

    asked: set[str]

    @classmethod
    def over(cls, oracle: Oracle) -> Watched:
        oracle.__class__ = cls
        oracle.asked = set()
        return oracle

    def losses(self, population: Any, batch: Any) -> Any:
        self.asked.add(f"losses of {type(population).__name__}")
        return super().losses(population, batch)

    def outputs(self, population: Any, batch: Any) -> Any:
        self.asked.add("outputs")
        return super().outputs(population, batch)

    def gradient(self, batch: Any) -> Any:
        self.asked.add("gradient")
        return super().gradient(batch)

    def update(self, optimizer: Any, closure: Any = None) -> None:
        self.asked.add("update" if closure is None else "update by a closure")
        super().update(optimizer, closure)

    def jvp(self, tangents: Any, batch: Any) -> Any:
        self.asked.add("jvp")
        return super().jvp(tangents, batch)

    def jacobian(self, batch: Any) -> Any:
        self.asked.add("jacobian")
        return super().jacobian(batch)


def asked_by(strategy: Plugin) -> set[str]:
    """What a strategy asks of its oracle in the first step."""
    run = Run(strategy, problem_of(strategy))
    oracle = Watched.over(run.oracle)
    run.step()
    return oracle.asked


def nested_hybrid() -> list[str]:
    """Phases of which the first has phases itself."""
    phase = "+strategy/phases@strategy.phases"
    inner = [f"{phase}.first=sequence", f"{phase}.first.phases.a=openai_es", f"{phase}.first.phases.b=adam"]
    return ["strategy=sequence", *inner, f"{phase}.second=random_search"]


def representatives() -> dict[str, list[str]]:
    """A mechanism -> overrides that choose the first built-in strategy that works so; and a hybrid in a hybrid."""
    found, missing = {}, dict(MECHANISMS)
    for strategy in installed("strategy", package="hybridopt"):
        asked = asked_by(strategy)
        for mechanism in [name for name, alone in missing.items() if alone == asked]:
            found[mechanism] = strategy_overrides(strategy.name)
            del missing[mechanism]
        if not missing:
            return found | {"nested hybrid": nested_hybrid()}
    raise AssertionError(f"no built-in strategy asks for {', '.join(missing)} alone")
