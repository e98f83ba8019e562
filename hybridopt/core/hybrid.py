"""Strategies made of strategies: phases that take turns on one network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Parts, Record, Strategy
from hybridopt.core.trail import Trail
from hybridopt.core.trigger import Trigger, Turn
from hybridopt.engine.buffers import LateBuffers
from hybridopt.engine.named import NamedModules
from hybridopt.errors import ConfigError, options


class Hybrid(Strategy):
    """Phases that take turns, each with an account of its own.

    A subclass says through which view of the oracle a phase works, and may say which phase is next. When a phase ends,
    what it recommends is where the next one starts: as the model's parameters or, in an encoding, as a vector in it. A
    phase that comes again goes on with its own state, moved to where the others have been since.

    Args:
        phases: the strategies by name, in order.
        shares: the share of the budget of each phase; together they must be 1.
        until: triggers by name, of phases that may end before their shares are spent.
        handover: whether phases pass on what they have learned besides their recommendation.

    Raises:
        ConfigError: the shares do not fit the phases, are not positive, or do not add up to 1; or a trigger does not
            fit its phase.
    """

    requires: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        phases: Mapping[str, Strategy],
        shares: Mapping[str, float],
        until: Mapping[str, Trigger] | None = None,
        handover: bool = True,
    ):
        super().__init__()
        check_shares(phases, shares)
        check_triggers(phases, until or {})
        self.phases = cast(Mapping[str, Strategy], NamedModules(phases))
        self.triggers = cast(Mapping[str, Trigger], NamedModules(until or {}))
        self.passes_on = handover
        self.offsets = LateBuffers()  # of_<phase> (d,): where a phase that comes again is, against where it was
        self.trail = Trail()
        ends = accumulate(shares[name] for name in phases)
        self.ends = dict(zip(phases, ends, strict=True))
        self.ends[list(phases)[-1]] = 1.0  # whatever the shares' rounding, the last one takes the rest
        self.current: str | None = None  # the phase whose turn it is; None before the first step
        self.begun: set[str] = set()
        self.entered_at = 0.0  # the share of the budget that all phases together had spent when the turn began
        self.moved = False  # whether it has taken a step
        self._views: dict[str, Oracle] = {}

    # -- what a subclass says ----------------------------------------------------------------------------------------

    @abstractmethod
    def view(self, name: str, oracle: Oracle) -> Oracle:
        """The oracle of a phase: ``oracle`` itself, or a view of it in another encoding, or behind a mask.

        Called at each turn and after each load, so that it must not draw or change anything; what it depends on is
        made in :meth:`prepare`.

        Args:
            name: the phase.
            oracle: the hybrid's, in the direct encoding or in the one that all phases work in.
        """

    def prepare(self, name: str, oracle: Oracle, batch: Batch) -> None:
        """Called before the first turn of a phase: may make what its view needs, such as a mask, or move the model.

        What the phase before recommends is in the model, or is ``oracle.start``.
        """
        return

    def opening(self, oracle: Oracle) -> str:
        """The phase whose turn is the first; by default the first one."""
        return next(iter(self.phases))

    def next(self) -> str | None:
        """The phase whose turn it is in the next step, or None when all is done; it must not change anything.

        By default the phases follow one another, each until its share of the budget is spent, its trigger says so, or
        it has finished.
        """
        over = self.active.finished() or self.triggered
        if not (over or self.active_view.exhausted):
            return self.current
        names = list(self.phases)
        later = names[names.index(cast(str, self.current)) + 1 :]
        return later[0] if later else None if over else self.current

    def until(self, name: str) -> float | None:
        """The share of the budget until which a phase may spend, at this turn; None for what all of them share."""
        return self.ends[name]

    # -- the contract ------------------------------------------------------------------------------------------------

    def attach(self, oracle: Oracle) -> None:
        self._oracle = oracle
        for trigger in self.triggers.values():
            trigger.attach(oracle)
        if self.current in oracle.ledger.phases:  # a run goes on; the other phases are attached at their turns
            self._views = {}
            self._rejoin(self.view(self.current, oracle.resumed(self.current)))
            return
        self.current, self.begun = None, set()
        for name, phase in self.phases.items():
            self._views[name] = self.view(name, oracle)
            phase.attach(self._views[name])

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.begun, self.offsets = set(), LateBuffers()
        start = None if oracle.direct else oracle.start
        self._enter(self.opening(oracle), oracle, batch, start, oracle.inherited)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        name = self.next()
        if name is not None and name != self.current:
            self._switch(name, oracle, batch)
        record = self.active.step(self.active_view, batch)
        self.moved = True
        if self._measures:
            self.trail.add(self.active.recommend())
        if self.trigger is not None:
            self.trigger.observe(self.turn, record)
        return record

    def recommend(self) -> Tensor | None:
        z = None if self.current is None else self.active.recommend()
        return None if z is None else self._oracle.vector_of(self.active_view, z)

    def front(self) -> Tensor | None:
        members = None if self.current is None else self.active.front()
        if members is None:
            return None
        return torch.stack([self._oracle.vector_of(self.active_view, z) for z in members])

    @property
    def hands_over(self) -> frozenset[str]:
        """What the last phase hands over."""
        return list(self.phases.values())[-1].hands_over

    @property
    def takes(self) -> frozenset[str]:
        """What the first phase takes."""
        return next(iter(self.phases.values())).takes

    def handover(self) -> Handover:
        return Handover() if self.current is None else self._given()

    def finished(self) -> bool:
        return self.current is not None and self.next() is None

    def phase_over(self) -> bool:
        return self.current is not None and (self.next() != self.current or self.active.phase_over())

    def optimizers(self) -> list[torch.optim.Optimizer]:
        found = (optimizer for phase in self.phases.values() for optimizer in phase.optimizers())
        return list({id(optimizer): optimizer for optimizer in found}.values())

    def parts(self, encoding: Encoding) -> Parts:
        return {f"phases.{name}": (phase, encoding) for name, phase in self.phases.items()}

    def artifacts(self, folder: Path) -> None:
        for name in sorted(self.begun):
            (folder / name).mkdir()
            self.phases[name].artifacts(folder / name)
            if not any((folder / name).iterdir()):
                (folder / name).rmdir()

    def facts(self) -> Mapping[str, str]:
        return {f"{name}.{key}": fact for name, phase in self.phases.items() for key, fact in phase.facts().items()}

    def get_extra_state(self) -> dict[str, Any]:
        turn = {"entered_at": self.entered_at, "moved": self.moved}
        return {"current": self.current, "begun": sorted(self.begun), **turn}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.current, self.begun = state["current"], set(state["begun"])
        self.entered_at, self.moved = state["entered_at"], state["moved"]

    # -- turns -------------------------------------------------------------------------------------------------------

    @property
    def active(self) -> Strategy:
        """The phase whose turn it is."""
        return self.phases[cast(str, self.current)]

    @property
    def active_view(self) -> Oracle:
        """Its oracle."""
        return self._views[cast(str, self.current)]

    @property
    def turn(self) -> Turn:
        """What its trigger sees."""
        return Turn(self.active, self.active_view, self._oracle.ledger.own_progress - self.entered_at)

    @property
    def triggered(self) -> bool:
        """Whether the trigger of the active phase ends its turn."""
        return self.moved and self.trigger is not None and self.trigger.over(self.turn)

    @property
    def trigger(self) -> Trigger | None:
        """What watches the active phase, if anything does."""
        return dict(self.triggers.items()).get(cast(str, self.current))

    @property
    def _measures(self) -> bool:
        """Whether a phase takes the length of steps."""
        return any("step_length" in phase.takes for phase in self.phases.values())

    def _given(self) -> Handover:
        """The active phase's, in the coordinates of this oracle: of a phase in others, only the mask makes sense."""
        given, offset = self.active.handover(), getattr(self.offsets, f"of_{self.current}", None)
        if self.trail.length is not None:
            given = replace(given, step_length=self.trail.length)
        if self.active_view.encoding is not self._oracle.encoding:
            return Handover(mask=given.mask)
        if given.population is None or offset is None:
            return given
        return replace(given, population=given.population + offset)

    def _switch(self, name: str, oracle: Oracle, batch: Batch) -> None:
        """End a turn: the model becomes what is recommended, and the next phase is entered."""
        z, handover = self.active.recommend(), self._given()
        if z is not None:
            start = None if oracle.direct else oracle.vector_of(self.active_view, z).clone()
            self.active_view.assign(z)
        else:
            start = None
        self._enter(name, oracle, batch, start, handover if self.passes_on else Handover())

    def _enter(self, name: str, oracle: Oracle, batch: Batch, start: Tensor | None, handover: Handover) -> None:
        self.current, self.entered_at, self.moved = name, oracle.ledger.own_progress, False
        again = name in self.begun
        if not again:
            self.prepare(name, oracle, batch)
        account = oracle.phase(name, self.until(name)).inheriting(handover)
        view = self.view(name, account if start is None else account.starting_at(start))
        self._views[name] = self._moved_to(view, start) if again else view
        self.active.attach(self.active_view)
        if not again:
            self.begun.add(name)
            self.active.begin(self.active_view, batch)
        self.trail.start(self.active.recommend() if self._measures else None)
        if self.trigger is not None:
            self.trigger.begin(self.turn)

    def _moved_to(self, view: Oracle, start: Tensor | None) -> Oracle:
        """The view of a phase that comes again, in which what it recommends is where the others have left off."""
        if self.current not in self._views:
            self._rejoin(view)
        z, here = self.active.recommend(), view.point if view.direct else start
        if z is None or here is None:
            return view
        self.offsets.register_buffer(f"of_{self.current}", here - z)
        return view.displaced(here - z)

    def _rejoin(self, view: Oracle) -> None:
        """The phase whose turn it is, as it was in the run that goes on: where it was then."""
        offset = getattr(self.offsets, f"of_{self.current}", None)
        self._views[cast(str, self.current)] = view if offset is None else view.displaced(offset)
        self.active.attach(self.active_view)


def check_shares(phases: Mapping[str, Strategy], shares: Mapping[str, float]) -> None:
    """Refuse shares that do not fit."""
    if not phases:
        raise ConfigError("A sequence needs at least one phase, for example +strategy/phases@strategy.phases.a=adam.")
    if set(phases) != set(shares):
        raise ConfigError(
            f"strategy.shares must name the phases {', '.join(phases)}, but names {', '.join(shares) or 'none'}."
        )
    total = sum(shares.values())
    if not (min(shares.values()) > 0 and abs(total - 1) <= 1e-6):
        given = ", ".join(f"{name}: {share:g}" for name, share in shares.items())
        raise ConfigError(f"The shares of the phases must be positive and add up to 1, but are {given}.")


def check_triggers(phases: Mapping[str, Strategy], until: Mapping[str, Trigger]) -> None:
    """Refuse triggers of phases that there are not, and those that wait for what a phase does not tell."""
    for name, trigger in until.items():
        if name not in phases:
            raise ConfigError(f"strategy.until names a phase {name} that there is not.{options(phases, name)}")
        lacking = trigger.needs - phases[name].hands_over
        if lacking:
            raise ConfigError(
                f"strategy.until.{name}: {type(trigger).__name__} looks at the {words(lacking)} of its phase, and "
                f"{type(phases[name]).__name__} tells none: choose another trigger, such as plateau, or another phase."
            )


def words(fields: frozenset[str]) -> str:
    """Fields of a hand-over in words: "population and second moments"."""
    return " and ".join(name.replace("_", " ") for name in sorted(fields))
