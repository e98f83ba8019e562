"""Phases for a trigger to watch: a search, and a descent where the problem has a gradient."""

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
from hybridopt.core.trigger import Trigger, Turn
from hybridopt.execution.evaluation import Evaluation
from hybridopt.testing.kit import fail_if
from hybridopt.testing.plugins import Settings, defaults
from hybridopt.testing.problems import problem_of
from hybridopt.testing.runs import Run

MOST = 120  # steps of a turn that is watched to its end
MEMBERS = 4  # of the search's population
EVERY = 10  # steps from one validation to the next
SHRINKING = 0.97  # what the search's width keeps of itself in each step
FIELDS = {field.name for field in fields(Handover)}


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
