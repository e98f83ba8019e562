"""What is asked of a trigger: it watches a search, and a descent where the problem has a gradient."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from hybridopt.composition import building
from hybridopt.composition.registry import Plugin
from hybridopt.core.handover import Handover
from hybridopt.core.ledger import Budget
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.search import Search
from hybridopt.core.strategy import Record, Strategy
from hybridopt.core.trigger import ROUNDING, Trigger, Turn
from hybridopt.execution.evaluation import Evaluation
from hybridopt.testing.kit import CheckFailure, check, during, fail_if, unloadable
from hybridopt.testing.plugins import Settings, defaults, variants
from hybridopt.testing.problems import problem_of
from hybridopt.testing.runs import Run, difference, global_states

MOST = 120  # steps of a turn that is watched to its end
TURN = 25  # steps of one that is broken off
MEMBERS = 4  # of the search's population
EVERY = 10  # steps from one validation to the next
SHRINKING = 0.97  # what the search's width keeps of itself in each step
FIELDS = {field.name for field in fields(Handover)}
ODD: tuple[Record, ...] = (
    {},
    {"loss": float("nan")},
    {"loss": torch.tensor(float("inf"))},
    {"loss": torch.tensor(-1.0)},
    {"regret": 0.0},
)


# -- phases to watch --------------------------------------------------------------------------------------------------


class Contracting(Search):
    """Random steps whose width shrinks; the best is kept.

    Args:
        gives: the fields that it hands over.
    """

    x: Tensor
    sigma: Tensor
    members: Tensor

    def __init__(self, gives: frozenset[str]):
        super().__init__()
        self.gives = gives

    @property
    def hands_over(self) -> frozenset[str]:
        """The fields that it gives."""
        return self.gives

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x", x0)
        self.register_buffer("sigma", torch.full_like(x0, 0.1))
        self.register_buffer("members", x0.expand(MEMBERS, -1).clone())

    def ask(self) -> Tensor:
        noise = torch.randn(MEMBERS, len(self.x), generator=self.generator, device=self.x.device).to(self.x)
        return self.x + self.sigma * noise

    def tell(self, population: Tensor, losses: Tensor) -> None:
        self.members, self.x = population, population[losses.argmin()]
        self.sigma = SHRINKING * self.sigma

    def recommend(self) -> Tensor:
        return self.x

    def handover(self) -> Handover:
        return given(self.gives, self.x, self.sigma, self.members)


class Descending(Strategy):
    """Gradient descent, whose recommendation is the model as it stands.

    Args:
        gives: the fields that it hands over.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"gradient"})

    def __init__(self, gives: frozenset[str]):
        super().__init__()
        self.gives = gives
        self.descent = cast(Strategy, building.build("strategy", {"name": "hybridopt:sgd", "lr": 0.01}))

    def attach(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.descent.attach(oracle)

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.descent.begin(oracle, batch)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        return self.descent.step(oracle, batch)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return self.descent.optimizers()

    def handover(self) -> Handover:
        x = self.oracle.point
        return given(self.gives, x, torch.full_like(x, 0.1), x.expand(MEMBERS, -1))


def given(names: frozenset[str], x: Tensor, sigma: Tensor, members: Tensor) -> Handover:
    """Those fields of a hand-over."""
    everything = {
        "sigma": sigma,
        "second_moments": sigma.square(),
        "covariance_factor": sigma[:, None],
        "population": members,
        "mask": {"all": torch.ones_like(x, dtype=torch.bool)},
    }
    return Handover(**{name: cast(Any, everything[name]) for name in names})


PHASES: Mapping[str, Callable[[frozenset[str]], Strategy]] = {"a search": Contracting, "descent": Descending}


class Watched:
    """A phase at work on a problem, step by step, validated every few of them.

    Attributes:
        run: the phase's.
        trigger: what watches it.

    Args:
        plugin: the trigger's.
        phase: a key of :data:`PHASES`.
        settings: of the trigger; its defaults if None.
        dtype: of the network and the data.
        device: where they are.
    """

    def __init__(
        self,
        plugin: Plugin,
        phase: str,
        settings: Settings | None = None,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ):
        problem = problem_of(plugin)
        budget = Budget(forwards=MOST * MEMBERS * len(next(problem.batches(0))[0]))
        self.trigger = build(plugin, settings).to(device)
        strategy = PHASES[phase](self.trigger.needs)
        self.run = Run(None, problem, strategy=strategy, budget=budget, dtype=dtype, device=device)
        self.evaluation = Evaluation(self.run.model, self.run.objective, problem.spec, self.run.device)
        self.curve: list[tuple[int, dict[str, float]]] = []
        self.run.oracle.feed.directions, self.run.oracle.feed.curve = self.evaluation.directions, self.curve
        self.entered = 0.0
        self.trigger.attach(self.run.oracle)

    @property
    def turn(self) -> Turn:
        """What a trigger sees now."""
        return Turn(self.run.strategy, self.run.oracle, self.run.oracle.progress - self.entered)

    def begin(self, *triggers: Trigger) -> Watched:
        """A turn begins, also for other triggers."""
        self.run.begin(self.run.first_batch)
        self.entered = self.run.oracle.progress
        for trigger in triggers or (self.trigger,):
            trigger.begin(self.turn)
        return self

    def step(self, *triggers: Trigger) -> list[list[bool]]:
        """One step, perhaps with a mark of the budget after it; what each of these says before and after the mark."""
        record = self.run.step()
        for trigger in triggers:
            trigger.observe(self.turn, record)
        said = [[says(trigger, self.turn)] for trigger in triggers]
        if self.run.taken % EVERY == 0:
            self._validate()
            for trigger, own in zip(triggers, said, strict=True):
                own.append(says(trigger, self.turn))
        return said

    def steps(self, most: int) -> list[bool]:
        """So many steps, or fewer if the trigger ends the turn; what it says, in order."""
        said: list[bool] = []
        while self.run.taken < most and not any(said):
            said += self.step(self.trigger)[0]
        return said

    def _validate(self) -> None:
        self.evaluation.reset()
        with self.run.recommending(), torch.no_grad():
            self.evaluation.update(self.run.moved(self.run.problem.held_out))
        self.curve.append((self.run.ledger.forwards, self.evaluation.values("val")))

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def save(self) -> tuple[bytes, bytes, Any]:
        """The run, the trigger, and what is plain."""
        file = io.BytesIO()
        torch.save(self.trigger.state_dict(), file)
        return self.run.save(), file.getvalue(), (list(self.curve), self.entered)

    def load(self, saved: tuple[bytes, bytes, Any]) -> Watched:
        """Go on from what :meth:`save` gave, with nothing that needs pickle."""
        run, trigger, (curve, self.entered) = saved
        self.run.load(run)
        self.curve[:] = curve
        state = torch.load(io.BytesIO(trigger), weights_only=True, map_location=self.run.device)
        self.trigger.load_state_dict(state)
        self.trigger.attach(self.run.oracle)
        return self


def says(trigger: Trigger, turn: Turn) -> bool:
    """Whether the turn is over, which must be a plain truth value."""
    verdict = trigger.over(turn)
    fail_if(not isinstance(verdict, bool), f"over returns {type(verdict).__name__} and not True or False.")
    return verdict


def build(plugin: Plugin, settings: Settings | None = None) -> Trigger:
    """The trigger, attached to nothing yet."""
    trigger = building.make(plugin, defaults(plugin) if settings is None else settings)
    fail_if(not isinstance(trigger, Trigger), "it makes something that is no Trigger.")
    unknown = sorted(trigger.needs - FIELDS)
    fail_if(
        unknown,
        f"it needs {' and '.join(unknown)}, which no phase hands over: choose from {', '.join(sorted(FIELDS))}.",
    )
    return trigger


def phases(plugin: Plugin) -> Iterator[str]:
    """What the trigger is tried on."""
    yield "a search"
    if problem_of(plugin).objective().differentiable:
        yield "descent"


# -- checks -----------------------------------------------------------------------------------------------------------


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
