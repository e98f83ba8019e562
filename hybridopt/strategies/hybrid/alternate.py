"""Strategies in turn, again and again, such as epochs of descent and generations of a search."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from hybridopt.core.hybrid import Hybrid
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Strategy
from hybridopt.core.trigger import ROUNDING, Trigger
from hybridopt.errors import ConfigError
from hybridopt.toolbox.ranges import at_least


class Alternate(Hybrid):
    """Phases in turn, each going on with its own state from where the others have left the network.

    Good for strategies that see different things, such as descent on a stand-in and a search on the loss itself.

    The budget is one for all: the progress of each phase, by which step sizes decay, is that of the whole.

    Args:
        phases: the strategies by name, in the order of their turns.
        until: triggers by name that end a turn, such as ``+trigger@strategy.until.descend=steps``; a phase
            without one has an equal share of the budget, in equal turns.
        rounds: how many turns such a phase has.
        handover: whether a phase passes on what it has learned besides its recommendation to those that begin after it.

    Raises:
        ConfigError: there are not two phases, or one turn of each takes more than the whole budget.
    """

    def __init__(
        self,
        phases: dict[str, Strategy],
        until: dict[str, Trigger] = {},
        rounds: int = 10,
        handover: bool = True,
    ):
        at_least("strategy", 1, rounds=rounds)
        if len(phases) < 2:
            raise ConfigError(
                "strategy=alternate needs two phases or more, for example +strategy/phases@strategy.phases.a=adam "
                "+strategy/phases@strategy.phases.b=openai_es."
            )
        super().__init__(phases, {name: 1 / len(phases) for name in phases}, until, handover)
        self.turn_share = 1 / (rounds * len(phases))
        limits = [until[name].limit if name in until else self.turn_share for name in phases]
        if sum(limit or 0.0 for limit in limits) > 1 + ROUNDING:
            raise ConfigError(
                "One turn of each phase takes more than the whole budget: lower the shares in strategy.until."
            )

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {f"{name} only": (f"strategy=@phases.{name}",) for name in settings["phases"]}

    def view(self, name: str, oracle: Oracle) -> Oracle:
        return oracle

    def until(self, name: str) -> None:
        return None

    def next(self) -> str | None:
        if not (self.active.finished() or self.triggered):
            return self.current
        names = list(self.phases)
        after = names.index(self.current or names[0]) + 1
        others = (name for name in chain(names[after:], names[:after]))
        return next((name for name in others if not (name in self.begun and self.phases[name].finished())), None)

    @property
    def triggered(self) -> bool:
        if self.current in self.triggers:
            return super().triggered
        return self.moved and self.turn.spent >= self.turn_share - ROUNDING

    def phase_over(self) -> bool:
        """Turns are too many to validate after each: the marks of the budget do."""
        return self.active.phase_over() if self.current is not None else False
