"""What has been spent, and what may be: one account for every strategy.

The unit is the *forward*: one forward pass of the whole network on one sample.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from hybridopt.errors import ConfigError

FORWARD = 1  # one sample through the network
GRADIENT = 3  # forward and backward: the backward pass costs two forwards
JVP = 2  # forward-mode: value and tangent travel together
SPACINGS = ("even", "log")
DECADES = 3  # of the budget, that marks at equal ratios are spread over
UNLIMITED = 10_000  # losses that a budget of seconds alone is taken to buy, unless somebody has timed some


def jacobian_cost(outputs: int) -> int:
    """Forwards per sample of a Jacobian with ``outputs`` rows: one forward and a backward for each row."""
    return 1 + 2 * outputs


@dataclass(frozen=True)
class Budget:
    """Limits of a run; the first one reached ends it.

    Args:
        forwards: forward passes of the whole network on one sample.
        seconds: training time, without validation and test.
        evaluations: losses asked for.
        marks: at how many points of the budget the run is validated and checkpointed.
        spacing: of the marks: even, or log: at equal ratios, from a thousandth of the budget to its end, since much
            happens early. A step that passes several marks is validated once.

    Raises:
        ConfigError: a limit is not positive, or there is none; the spacing is another word.
    """

    forwards: float | None = None
    seconds: float | None = None
    evaluations: float | None = None
    marks: int = 50
    spacing: str = "even"

    def __post_init__(self) -> None:
        if not self.limits():
            raise ConfigError("The budget has no limit: set budget.forwards, budget.seconds or budget.evaluations.")
        for name, limit in self.limits().items():
            if not (limit > 0 and math.isfinite(limit)):
                raise ConfigError(f"budget.{name} must be a positive number, but is {limit:g}.")
        if self.marks < 1:
            raise ConfigError(f"budget.marks must be at least 1, but is {self.marks}.")
        if self.spacing not in SPACINGS:
            raise ConfigError(f"budget.spacing must be even or log, but is {self.spacing!r}.")

    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return self._limits

    @cached_property
    def _limits(self) -> dict[str, float]:
        named = {"forwards": self.forwards, "seconds": self.seconds, "evaluations": self.evaluations}
        return {name: limit for name, limit in named.items() if limit is not None}

    def points_passed(self, progress: float, points: int) -> int:
        """How many of so many points, spaced as the marks are, lie within a share of the budget."""
        if self.spacing == "log":
            progress = 1 + math.log10(progress) / DECADES if progress > 0 else 0.0
        return max(0, min(points, math.floor(progress * points * (1 + 1e-12))))

    def share_at(self, point: int, points: int) -> float:
        """The share of the budget at which a point lies, of so many, of which the last one lies at its end."""
        share = point / points
        return 10 ** (DECADES * (share - 1)) if self.spacing == "log" else share


class Unaffordable(ConfigError):
    """A generation costs more than the whole budget."""


class Ledger:
    """Counts forwards, evaluations and seconds against a budget; phases keep sub-accounts.

    Every charge to a phase is a charge to its parent, so that the total is true whatever a hybrid does inside.

    Args:
        budget: the limits.
        parent: the account that this one is a part of.
        shared: whether it spends from its parent's budget as it needs, so that its progress is the parent's: of phases
            that take turns until the end.
        within: (from, until), shares of a shared parent's budget: its progress is the way from one to the other,
            whoever spends; None of other accounts.
    """

    def __init__(
        self,
        budget: Budget,
        parent: Ledger | None = None,
        shared: bool = False,
        within: tuple[float, float] | None = None,
    ):
        self.budget, self.parent, self.shared, self.within = budget, parent, shared, within
        self.forwards = 0
        self.evaluations = 0
        self.seconds = 0.0
        self.phases: dict[str, Ledger] = {}
        self.active: str | None = None  # the phase that time is booked on
        self.worked: dict[str, float] = {}  # seconds in the last step, of phases that all took part in it
        self.speed: float | None = None  # losses per second, where somebody has timed some

    def charge(self, forwards: int, evaluations: int = 0) -> None:
        """Book ``forwards`` network passes and ``evaluations`` losses."""
        self.forwards += forwards
        self.evaluations += evaluations
        if self.parent is not None:
            self.parent.charge(forwards, evaluations)

    def spend_time(self, seconds: float) -> None:
        """Book training time on this account and on the phase that is active, or on those that shared the step."""
        self.seconds += seconds
        worked = self.worked or ({} if self.active is None else {self.active: 1.0})
        for name, own in worked.items():
            self.phases[name].spend_time(seconds * own / sum(worked.values()))
        self.worked = {}

    @property
    def progress(self) -> float:
        """The share of the budget that is spent: 0 at the start, at least 1 when a limit is reached."""
        if self.parent is not None and self.within is not None:
            since, until = self.within
            return (self.parent.progress - since) / (until - since)
        return self.parent.progress if self.shared and self.parent is not None else self.own_progress

    @property
    def own_progress(self) -> float:
        """The share of the budget that is spent on this account, whatever others spend from the same budget."""
        return max([getattr(self, name) / limit for name, limit in self.budget.limits().items()])

    @property
    def exhausted(self) -> bool:
        """Whether a limit is reached, here or further up."""
        return self.progress >= 1 or (self.parent is not None and self.parent.exhausted)

    @property
    def root(self) -> Ledger:
        """The account of the whole run."""
        return self if self.parent is None else self.parent.root

    @property
    def remaining(self) -> int | None:
        """Forwards left, or None where forwards are not limited."""
        if self.budget.forwards is None:
            return None
        return max(0, math.ceil(self.budget.forwards - self.forwards))

    @property
    def marks_passed(self) -> int:
        """How many of the budget's marks have been reached."""
        return self.budget.points_passed(self.progress, self.budget.marks)

    @property
    def current(self) -> Ledger:
        """The account of the innermost phase that is active."""
        return self if self.active is None else self.phases[self.active].current

    @property
    def path(self) -> str:
        """The active phases, outermost first, joined by '/'; empty where there is none."""
        if self.active is None:
            return ""
        below = self.phases[self.active].path
        return f"{self.active}/{below}" if below else self.active

    def tree(self, prefix: str = "") -> dict[str, Ledger]:
        """The accounts of all phases by path, each before those of its own phases."""
        found: dict[str, Ledger] = {}
        for name, phase in self.phases.items():
            found |= {prefix + name: phase} | phase.tree(f"{prefix}{name}/")
        return found

    @property
    def paths(self) -> list[str]:
        """The path of each phase that is under way, each before its own: "a", "a/b"; also of those that wait a turn."""
        return [
            path
            for name, phase in self.phases.items()
            if name == self.active or phase.shared
            for path in (name, *(f"{name}/{below}" for below in phase.paths))
        ]

    def phase(self, name: str, until: float | None) -> Ledger:
        """Make ``name`` the active phase.

        Args:
            name: of the phase; one that comes again goes on with its account.
            until: it may spend until this share of this budget is gone; None shares the budget with the other phases.
        """
        self.active = name
        if until is None:
            return self.phases.setdefault(name, Ledger(self.budget, parent=self, shared=True))
        former = self.phases.get(name)
        if self.shared or self.within is not None:
            since = self.progress if former is None or former.within is None else former.within[0]
            return self._stretch(name, since, until)
        left = {
            key: max(until * limit - getattr(self, key), 1e-9) + (0 if former is None else getattr(former, key))
            for key, limit in self.budget.limits().items()
        }
        budget = replace(self.budget, **left)
        self.phases.setdefault(name, Ledger(budget, parent=self)).budget = budget
        return self.phases[name]

    def _stretch(self, name: str, since: float, until: float) -> Ledger:
        """The account of a phase that spends until so much of a budget is gone that others spend from, too."""
        length = max(until - since, 1e-9)
        budget = replace(self.budget, **{key: length * limit for key, limit in self.budget.limits().items()})
        phase = self.phases.setdefault(name, Ledger(budget, parent=self))
        phase.budget, phase.within = budget, (since, since + length)
        return phase

    def losses_of(self, samples: int) -> int:
        """How many losses on batches of so many samples the whole budget buys."""
        limits = self.budget.limits()
        counts = [limits["forwards"] / samples] if "forwards" in limits else []
        counts += [limits["evaluations"]] if "evaluations" in limits else []
        if not counts and self.speed is not None:
            counts = [limits["seconds"] * self.speed]
        return max(1, int(min(counts, default=UNLIMITED)))

    @property
    def by_time_alone(self) -> bool:
        """Whether nothing but seconds is limited."""
        return set(self.budget.limits()) == {"seconds"}

    def check_affordable(self, members: int, samples: int, factor: int = FORWARD) -> None:
        """Refuse a generation that costs more than the whole budget of the run.

        Args:
            members: of the population.
            samples: of the batch.
            factor: forwards that a member costs on a sample.

        Raises:
            Unaffordable: in a sentence that says what to lower.
        """
        limit, cost = self.root.budget.forwards, factor * members * samples
        if limit is not None and cost > limit:
            raise Unaffordable(
                f"One generation of {members} members on a batch of {samples} costs {cost} forwards, more than "
                f"the whole budget of {limit:.0f}: lower the strategy's population or dataset.batch_size, or raise "
                "budget.forwards."
            )

    def state_dict(self) -> dict[str, Any]:
        """Plain values, phases included."""
        return {
            "budget": asdict(self.budget),
            "forwards": self.forwards,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "active": self.active,
            "shared": self.shared,
            "within": self.within,
            "speed": self.speed,
            "phases": {name: phase.state_dict() for name, phase in self.phases.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave; phases that exist keep their identity."""
        self.forwards, self.evaluations = state["forwards"], state["evaluations"]
        self.seconds, self.active, self.speed = state["seconds"], state["active"], state["speed"]
        for name, phase_state in state["phases"].items():
            phase = self.phases.setdefault(name, Ledger(Budget(**phase_state["budget"]), parent=self))
            phase.budget, phase.shared = Budget(**phase_state["budget"]), phase_state["shared"]
            phase.within = None if phase_state["within"] is None else tuple(phase_state["within"])
            phase.load_state_dict(phase_state)
