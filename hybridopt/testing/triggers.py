"""What is asked of a trigger."""

from __future__ import annotations

from typing import Any, cast

import torch

from hybridopt.composition.registry import Plugin
from hybridopt.core.strategy import Record
from hybridopt.core.trigger import ROUNDING
from hybridopt.testing.kit import CheckFailure, check, during, fail_if, unloadable
from hybridopt.testing.phases import MOST, Watched, build, phases, says
from hybridopt.testing.plugins import variants
from hybridopt.testing.runs import difference, global_states

TURN = 25  # steps of one that is broken off
ODD: tuple[Record, ...] = (
    {},
    {"loss": float("nan")},
    {"loss": torch.tensor(float("inf"))},
    {"loss": torch.tensor(-1.0)},
    {"regret": 0.0},
)


@check("trigger")
def builds_from_every_option(plugin: Plugin) -> None:
    """With its defaults and every option it watches a turn of a search, and one of a phase that recommends nothing."""
    for what, settings in variants(plugin).items():
        for phase in phases(plugin):
            with during(f"with {what}, on {phase}"):
                Watched(plugin, phase, settings).begin().steps(TURN)


@check("trigger")
def bears_any_record(plugin: Plugin) -> None:
    """It works on steps without a loss, and on losses that are negative, infinite or NaN."""
    for record in ODD:
        watched = Watched(plugin, "a search").begin()
        with during(f"after a step that returns {record}"):
            for _ in range(2):
                watched.run.step()
                watched.trigger.observe(watched.turn, record)
                says(watched.trigger, watched.turn)


@check("trigger")
def looking_changes_nothing(plugin: Plugin) -> None:
    """``over`` says the same however often it is asked: it counts nothing, and keeps nothing."""
    for phase in phases(plugin):
        asked, again = Watched(plugin, phase).begin(), Watched(plugin, phase).begin()
        while again.run.taken < MOST:
            once, often = asked.step(asked.trigger), again.step(again.trigger)
            further = [says(again.trigger, again.turn) for _ in range(2)]
            place = difference(asked.trigger.state_dict(), again.trigger.state_dict())
            fail_if(
                once != often or any(one != often[0][-1] for one in further) or place,
                f"after step {again.run.taken} of {phase} it says something else, or is in another state, where over "
                "is called several times after each step: count in observe.",
            )


@check("trigger")
def leaves_the_run_alone(plugin: Plugin) -> None:
    """A phase that is watched does what it does alone: nothing is drawn, charged, or written into model and phase."""
    for phase in phases(plugin):
        watched, alone = Watched(plugin, phase), Watched(plugin, phase)
        before = global_states()
        watched.begin()
        alone.run.begin(alone.run.first_batch)
        for _ in range(TURN):
            watched.step(watched.trigger)
            alone.step()
        place = difference(watched.run.state(), alone.run.state())
        fail_if(place, f"{phase} that it watches differs from one that nobody does: {place} does.")
        fail_if(difference(before, global_states()), "it draws from, or seeds, a global generator.")


@check("trigger")
def begins_anew(plugin: Plugin) -> None:
    """In a later turn it says what a new trigger would: it has forgotten the turns before."""
    for phase in phases(plugin):
        watched, fresh = Watched(plugin, phase).begin(), build(plugin)
        watched.steps(MOST // 2)
        fresh.attach(watched.run.oracle)
        watched.begin(watched.trigger, fresh)
        for step in range(1, MOST + 1):
            used, new = watched.step(watched.trigger, fresh)
            fail_if(
                used != new,
                f"after step {step} of its second turn on {phase} it says {used[-1]}, and a new one {new[-1]}: make "
                "the state anew in begin.",
            )


@check("trigger")
def resumes(plugin: Plugin) -> None:
    """A checkpoint in the middle of a turn holds all that it knows: the turn ends at the same step.

    Checkpoints are loaded with nothing that needs pickle.
    """
    for phase in phases(plugin):
        first = Watched(plugin, phase).begin()
        first.steps(MOST)
        whole, said, saved = Watched(plugin, phase).begin(), {}, {}
        while whole.run.taken < MOST:
            (own,) = whole.step(whole.trigger)
            said[whole.run.taken] = own
            if whole.run.taken in {first.run.taken // 3, first.run.taken - 2}:
                saved[whole.run.taken] = whole.save()
        for step, content in saved.items():
            resumed = loaded(Watched(plugin, phase), content)
            while resumed.run.taken < MOST:
                (own,) = resumed.step(resumed.trigger)
                fail_if(
                    own != said[resumed.run.taken],
                    f"resumed after step {step} of {phase} it says something else after step {resumed.run.taken} than "
                    "where nothing was interrupted: keep the state in buffers.",
                )
            place = difference(whole.trigger.state_dict(), resumed.trigger.state_dict())
            fail_if(place, f"resumed after step {step} of {phase} it ends in another state: {place} differs.")


def loaded(watched: Watched, content: tuple[bytes, bytes, Any]) -> Watched:
    """Load a checkpoint, or say why that fails."""
    try:
        return watched.load(content)
    except Exception as error:
        raise CheckFailure(f"its state cannot be saved and loaded again: {unloadable(error)}.") from error


@check("trigger")
def follows_the_dtype(plugin: Plugin) -> None:
    """It works on phases in float64."""
    for phase in phases(plugin):
        with during(f"on {phase} in float64"):
            Watched(plugin, phase, dtype=torch.float64).begin().steps(MOST)


@check("trigger", applies=lambda plugin: torch.cuda.is_available())
def follows_the_device(plugin: Plugin) -> None:
    """It works on CUDA, and a checkpoint that was written on the CPU goes on there, and the reverse."""
    for phase in phases(plugin):
        for source, device in (("cpu", "cuda"), ("cuda", "cpu")):
            with during(f"on {source}"):
                content = watch_some(Watched(plugin, phase, device=source).begin()).save()
            with during(f"on {device}, from a checkpoint that was written on {source}"):
                watch_some(Watched(plugin, phase, device=device).load(content))


def watch_some(watched: Watched) -> Watched:
    """So many steps, whatever the trigger says."""
    for _ in range(TURN):
        watched.step(watched.trigger)
    return watched


@check("trigger", applies=lambda plugin: build(plugin).limit is not None)
def limit_is_all_that_ends_it(plugin: Plugin) -> None:
    """A trigger with a ``limit`` ends a turn when that share is spent, and at no other time.

    A hybrid may divide its budget by the limit, and never ask.
    """
    for phase in phases(plugin):
        watched = Watched(plugin, phase).begin()
        limit = cast(float, watched.trigger.limit)
        fail_if(not 0 < limit <= 1, f"its limit is {limit:g}, which is no share of a budget.")
        while watched.run.taken < MOST:
            (said,) = watched.step(watched.trigger)
            expected = watched.turn.spent >= limit - ROUNDING
            fail_if(
                any(one != expected for one in said),
                f"with {watched.turn.spent:.3g} of the budget spent it says {not expected}, and its limit is "
                f"{limit:g}: what ends by something else has limit = None.",
            )
