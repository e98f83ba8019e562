"""Strategies one after the other, such as a search and then gradient descent."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from hybridopt.core.hybrid import Hybrid, check_triggers, words
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Strategy
from hybridopt.core.trigger import Trigger
from hybridopt.errors import ConfigError, options

log = logging.getLogger(__name__)


class Sequence(Hybrid):
    """Phases one after the other, each starting from what the one before recommends.

    Good for strategies that take turns: a search for the start, a gradient for the rest.

    A phase ends when the budget is spent up to the end of its share, when its trigger says so, or when it has finished;
    what it has not spent is left to the next ones.

    Args:
        phases: the strategies by name, in order.
        shares: the share of the budget of each phase by name; those without one share the rest equally.
        until: triggers by name, such as ``+trigger@strategy.until.search=plateau``, of phases that may end
            earlier.
        handover: whether a phase passes on what it has learned besides its recommendation, such as widths.
    """

    def __init__(
        self,
        phases: dict[str, Strategy],
        shares: dict[str, float] = {},
        until: dict[str, Trigger] = {},
        handover: bool = True,
    ):
        check_triggers(phases, until)  # before a share of one is taken for a phase's
        events = {name: trigger for name, trigger in until.items() if trigger.limit is None}
        super().__init__(phases, all_shares(phases, shares, until), events, handover)

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {f"{name} only": (f"strategy=@phases.{name}",) for name in settings["phases"]} | {
            "without hand-over": ("strategy.handover=false",)
        }

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        super().begin(oracle, batch)
        for name, follower in pairwise(self.phases):
            if self.passes_on and not self.phases[name].hands_over & self.phases[follower].takes:
                log.info(nothing_passes(name, self.phases[name], follower, self.phases[follower]))

    def view(self, name: str, oracle: Oracle) -> Oracle:
        return oracle


def all_shares(
    phases: Mapping[str, Strategy], shares: Mapping[str, float], until: Mapping[str, Trigger]
) -> dict[str, float]:
    """The share of each phase: its own, that of its trigger, or an equal part of the rest.

    Raises:
        ConfigError: two shares are given for one phase, or none is left for others.
    """
    limits = {name: trigger.limit for name, trigger in until.items() if trigger.limit is not None}
    twice = sorted(limits.keys() & shares.keys())
    if twice:
        raise ConfigError(
            f"The share of the phase {twice[0]} is given twice, by strategy.shares.{twice[0]} and by "
            f"strategy.until.{twice[0]}: leave one of them out."
        )
    given = {**shares, **limits}
    unknown = sorted(shares.keys() - phases.keys())
    if phases and unknown:
        raise ConfigError(
            f"strategy.shares must name phases, but names {' and '.join(unknown)}.{options(phases, unknown[0])}"
        )
    others = [name for name in phases if name not in given]
    rest = 1 - sum(given.values())
    if others and rest <= 0:
        raise ConfigError(
            f"The shares {', '.join(f'{name}: {share:g}' for name, share in given.items())} leave nothing for "
            f"{' and '.join(others)}: lower them, or give each phase a share."
        )
    return given | {name: rest / len(others) for name in others}


def nothing_passes(name: str, phase: Strategy, follower: str, next_phase: Strategy) -> str:
    """A sentence on two phases between which only the weights pass."""
    gives = f"gives {words(phase.hands_over)}" if phase.hands_over else "gives nothing else"
    takes = f"takes {words(next_phase.takes)}" if next_phase.takes else "takes nothing else"
    return f"From {name} to {follower} only the weights pass: {name} {gives}, {follower} {takes}."
