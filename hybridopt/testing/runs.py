"""A strategy at work on a problem, as a trial runs it, but step by step and without a Trainer."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from hybridopt.composition import building
from hybridopt.composition.registry import Plugin
from hybridopt.core import ledger, oracle
from hybridopt.core.encoding import Encoding
from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Strategy
from hybridopt.engine import trees
from hybridopt.engine.forward import OfOne
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.testing.plugins import defaults
from hybridopt.testing.problems import Problem

LOSSES = 2500  # that the budget of a run buys, unless a check wants another
STEPS = 6  # generations that a budget is made for where every step is looked at
MOST = 40  # steps that are looked at: a hybrid may go from few long ones to many short ones


class SpyLedger(Ledger):
    """A ledger that knows who charges it.

    Attributes:
        metered: forwards that the oracle has charged.
        late: how often the network was run, and that charged, after the budget was spent.
    """

    def __init__(self, budget: Budget):
        super().__init__(budget)
        self.metered = self.late = 0

    def charge(self, forwards: int, evaluations: int = 0) -> None:
        if _caller() == oracle.__name__:
            self.metered += forwards
        if self.exhausted:
            self.late += 1
        super().charge(forwards, evaluations)


def _caller() -> str:
    """The module that has a ledger charged; a phase's ledger hands its charges on."""
    return next(name for name in callers() if name not in (__name__, ledger.__name__))


def callers() -> Iterator[str]:
    """The modules whose calls led here, the innermost first."""
    frame = sys._getframe(1)
    while frame is not None:
        yield frame.f_globals["__name__"]
        frame = frame.f_back


class Run:
    """One strategy, one network, one budget.

    Attributes:
        strategy: the strategy.
        model: the network.
        taken: steps taken.
        first_batch: the batch of the first step.

    Args:
        plugin: the strategy's plugin.
        problem: what it is tried on.
        settings: of the strategy; its defaults if None.
        seed: fixes the network's first weights, the batches, and what the strategy draws.
        budget: what may be spent; :data:`LOSSES` losses on a batch if None.
        dtype: of the network and the data.
        device: where they are.
        objective: takes the place of the problem's own.
        strategy: takes the place of one that is built.
        mask: what the network's masked weights are, by name; none if None.
        encoding: what stands between the strategy and the network; the direct one if None.
    """

    def __init__(
        self,
        plugin: Plugin | None,
        problem: Problem,
        settings: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        budget: Budget | None = None,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        objective: Any = None,
        strategy: Strategy | None = None,
        mask: Mapping[str, Tensor] | None = None,
        encoding: Encoding | None = None,
    ):
        self.problem, self.dtype, self.device = problem, dtype, torch.device(device)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = problem.model().to(self.device, dtype)
            self.objective = (objective or problem.objective()).to(self.device)
            if strategy is None:
                named = cast(Plugin, plugin)  # where no strategy is given
                strategy = building.make(named, defaults(named) if settings is None else settings, spec=problem.spec)
        self.strategy = cast(Strategy, strategy).to(self.device)
        self.layout = ParameterLayout.of(dict(self.model.named_parameters()))
        self._seed, self._batches = seed, problem.batches(seed)
        self._weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.first_batch = self.moved(next(problem.batches(seed)))
        self.ledger = SpyLedger(budget or Budget(forwards=LOSSES * len(self.first_batch[1])))
        generator = torch.Generator(self.device).manual_seed(seed)
        self.oracle = Oracle(self.model, self.objective, self.ledger, generator, encoding=encoding)
        if mask is not None:
            self.oracle = self.oracle.masked(mask)
        self.taken, self.begun = 0, False
        self.strategy.attach(self.oracle)
        self.optimizers = self.strategy.optimizers()

    def moved(self, batch: Batch) -> Batch:
        inputs, targets = trees.mapped(
            lambda part: part.to(self.device, self.dtype if part.is_floating_point() else part.dtype), batch
        )
        return inputs, targets

    def step(self) -> Mapping[str, float | Tensor]:
        """One step on the next batch."""
        batch = self.moved(next(self._batches))
        self.begin(batch)
        self.taken += 1
        return self.strategy.step(self.oracle, batch)

    def begin(self, batch: Batch) -> None:
        """Let the strategy make its first state, if it has none yet."""
        if not self.begun:
            self.strategy.begin(self.oracle, batch)
            self.begun = True

    def rewind(self) -> None:
        """Let weights, generator, ledger and batches be as at first; the strategy stays what it has become."""
        self.model.load_state_dict(self._weights)
        self.oracle.generator.manual_seed(self._seed)
        self.ledger.forwards = self.ledger.evaluations = self.ledger.metered = self.ledger.late = 0
        self.ledger.phases.clear()
        self.ledger.active = None
        self._batches = self.problem.batches(self._seed)
        self.taken, self.begun = 0, False

    def steps(self, most: int = MOST) -> Iterator[int]:
        """Step until the budget is spent, it has finished, or so many steps are taken in all; their numbers, from 1."""
        while not (self.ledger.exhausted or (self.begun and self.strategy.finished())) and self.taken < most:
            self.step()
            yield self.taken

    def finish(self, most: int = sys.maxsize) -> Run:
        """All steps that are left."""
        for _ in self.steps(most):
            pass
        return self

    def answer(self) -> Tensor:
        """What the strategy recommends now, as the network's parameters in one vector (d,)."""
        with self.recommending():
            return self.layout.flatten(dict(self.model.named_parameters()))

    def recommending(self) -> AbstractContextManager[None]:
        """Inside, the network has the recommended parameters, which before the first step are its own."""
        return self.oracle.standing_in(self.strategy.recommend() if self.begun else None)

    def loss(self) -> float:
        """The loss of what the strategy recommends now, on the data held out; not charged."""
        inputs, targets = batch = self.moved(self.problem.held_out)
        forward = OfOne(self.model, inputs)
        self.model.eval()
        with torch.no_grad(), self.recommending():
            loss = float(self.objective.loss(self.objective.outputs(forward, batch)[0], targets))
        self.model.train()
        return loss

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """All that a checkpoint of a trial holds of it."""
        return {
            "strategy": self.strategy.state_dict(),
            "model": self.model.state_dict(),
            "encoding": self.oracle.encoding.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "generator": self.oracle.generator.get_state(),
            "ledger": self.ledger.state_dict(),
            "taken": self.taken,
            "begun": self.begun,
            "device": self.device.type,
        }

    def save(self) -> bytes:
        """The state as a file's content."""
        file = io.BytesIO()
        torch.save(self.state(), file)
        return file.getvalue()

    def load(self, content: bytes) -> Run:
        """Go on from what :meth:`save` gave, with nothing that needs pickle.

        Where that was on another device, the generator's state is of another kind, and stays behind.
        """
        state = torch.load(io.BytesIO(content), weights_only=True, map_location=self.device)
        self.ledger.load_state_dict(state["ledger"])
        if state["device"] == self.device.type:
            self.oracle.generator.set_state(state["generator"].cpu())
        for name in ("encoding", "model"):
            getattr(self.oracle, name).load_state_dict(state[name])
        self.strategy.load_state_dict(state["strategy"])
        for optimizer, one in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(one)
        self.taken, self.begun = state["taken"], state["begun"]
        self.strategy.attach(self.oracle)
        self._batches = islice(self._batches, self.taken, None)
        return self


# -- around runs ------------------------------------------------------------------------------------------------------


def short_budget(plugin: Plugin, problem: Problem, steps: int = STEPS, losses: int = 0) -> Budget:
    """A budget for so many steps like the first one, and for so many losses at least."""
    trial = Run(plugin, problem)
    trial.step()
    size = len(next(problem.batches(0))[0])
    return Budget(forwards=max(steps * trial.ledger.forwards, losses * size, 1))


def difference(one: Any, other: Any, where: str = "") -> str | None:
    """Where two states, made of tensors, plain values, mappings and lists, differ first; None if they do not."""
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
        pairs = [(f"{where}.{key}".lstrip("."), one[key], other[key]) for key in one]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = [(f"{where}[{i}]", *pair) for i, pair in enumerate(zip(one, other, strict=True))]
    else:
        return None if same(one, other) else where or "the whole"
    return next((found for place, a, b in pairs if (found := difference(a, b, place))), None)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal to the last bit, NaN being equal to NaN."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        alike = one.shape == other.shape and one.dtype == other.dtype
        return alike and torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (one != one and other != other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):  # no state may hold one; another check says so
        return np.array_equal(one, other)
    return type(one) is type(other) and one == other


@contextmanager
def global_seeds(seed: int) -> Iterator[None]:
    """Torch's, numpy's and Python's global generators are seeded inside, and afterwards as they were."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def global_states() -> dict[str, Any]:
    """The states of the global generators, to compare."""
    _, key, *rest = np.random.get_state()
    return {"torch": torch.get_rng_state(), "numpy": [torch.from_numpy(key), *rest], "Python": random.getstate()}


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch computes on so many threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
