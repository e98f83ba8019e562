"""Each check of triggers, by a trigger that fails that one alone."""

from __future__ import annotations

import re
from typing import Literal

import pytest
import torch

from hybridopt import Trigger
from hybridopt.core.trigger import Turn
from hybridopt.testing import checks, run_checks


class Sound(Trigger):
    """Seven steps."""

    def begin(self, turn: Turn) -> None:
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))

    def observe(self, turn: Turn, record: dict) -> None:
        self.taken += 1

    def over(self, turn: Turn) -> bool:
        return int(self.taken) >= 7


class Narrow(Trigger):
    """A width below a bound."""

    needs = frozenset({"sigma"})

    def over(self, turn: Turn) -> bool:
        return bool(turn.phase.handover().sigma.max() < 0.05)


class Limited(Trigger):
    """A share."""

    limit = 0.3


class HalfDone(Sound):
    """One of whose options does not end anything."""

    def __init__(self, what: Literal["steps", "nothing"] = "steps"):
        super().__init__()
        self.what = what

    def over(self, turn: Turn) -> bool:
        return super().over(turn) if self.what == "steps" else None


class Undeclared(Narrow):
    """Which looks at what it has not asked for."""

    needs = frozenset()


class Unheard(Sound):
    """Which needs what there is not."""

    needs = frozenset({"temperature"})


class Trusting(Sound):
    """Which takes each step to have a loss."""

    def observe(self, turn: Turn, record: dict) -> None:
        self.taken += int(record["loss"] > float("-inf"))


class Counting(Sound):
    """Which counts how often it is asked."""

    def over(self, turn: Turn) -> bool:
        self.taken += 1
        return int(self.taken) >= 7


class Charging(Sound):
    """Which asks for losses of its own."""

    def observe(self, turn: Turn, record: dict) -> None:
        turn.oracle.ledger.charge(1)
        super().observe(turn, record)


class Drawing(Sound):
    """Which tosses a coin that is everybody's."""

    def observe(self, turn: Turn, record: dict) -> None:
        torch.rand(1)
        super().observe(turn, record)


class Resentful(Sound):
    """Which counts on from the turn before."""

    def begin(self, turn: Turn) -> None:
        if not hasattr(self, "taken"):
            super().begin(turn)


class Forgetful(Sound):
    """Which keeps its count in a plain attribute."""

    def begin(self, turn: Turn) -> None:
        self.taken = 0

    def observe(self, turn: Turn, record: dict) -> None:
        self.taken = getattr(self, "taken", 0) + 1


class SinglePrecision(Sound):
    """Which multiplies what is recommended by float32."""

    def begin(self, turn: Turn) -> None:
        super().begin(turn)
        self.register_buffer("direction", torch.ones(35))

    def observe(self, turn: Turn, record: dict) -> None:
        z = turn.phase.recommend()
        super().observe(turn, record)
        self.taken += int((turn.oracle.point if z is None else z) @ self.direction > 1e9)


class Early(Limited):
    """Which has a limit, and ends before."""

    def over(self, turn: Turn) -> bool:
        return super().over(turn) or turn.spent > 0.2


BROKEN = [
    (HalfDone, {"builds_from_every_option"}, r"with what=nothing, on a search|over returns NoneType and not True"),
    (Undeclared, None, r"with its defaults, on a search it raises AttributeError"),
    (Unheard, None, r"it needs temperature, which no phase hands over: choose from covariance_factor, mask, "),
    (Trusting, {"bears_any_record"}, r"after a step that returns \{\} it raises KeyError"),
    (Counting, {"looking_changes_nothing"}, r"after step \d of a search it says something else, .*: count in observe"),
    (Charging, {"leaves_the_run_alone"}, r"a search that it watches differs from one that nobody does: ledger\."),
    (Drawing, {"leaves_the_run_alone"}, r"draws from, or seeds, a global generator"),
    (Resentful, {"begins_anew"}, r"after step 1 of its second turn on a search it says True, and a new one False"),
    (Forgetful, {"resumes"}, r"resumed after step 2 of a search it says something else .*: keep the state in buffers"),
    (SinglePrecision, {"follows_the_dtype"}, r"on a search in float64 it raises RuntimeError"),
    (Early, {"limit_is_all_that_ends_it"}, r"of the budget spent it says True, and its limit is 0\.3: what ends by"),
]


@pytest.mark.parametrize(("trigger", "fails", "says"), BROKEN, ids=[case[0].__name__ for case in BROKEN])
def test_a_broken_trigger_fails_its_check_alone(trigger, fails, says):
    failed = {outcome.check: outcome.sentence for outcome in run_checks(trigger) if outcome.status == "failed"}
    assert fails is None or failed.keys() == fails, failed  # some cannot be tried at all
    assert any(re.search(says, sentence) for sentence in failed.values()), failed


@pytest.mark.parametrize("trigger", [Sound, Narrow, Limited], ids=lambda trigger: trigger.__name__)
def test_a_sound_trigger_passes(trigger):
    assert [outcome for outcome in run_checks(trigger) if outcome.status == "failed"] == []


def test_each_check_is_failed_by_somebody():
    general = {"can_be_imported", "has_a_summary", "config_survives_yaml", "search_space_is_of_its_settings"}
    machine = {"follows_the_device"}  # where there is one
    asked = {check.name for check in checks(Limited)} - general - machine
    assert asked == set.union(*(fails for _, fails, _ in BROKEN if fails))
