"""Strategies made of strategies: phases, each with a share of the budget."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate

import torch
from torch import nn

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Search, Strategy
from hybridopt.errors import ConfigError


class Hybrid(Strategy):
    """Phases one after the other on the same network; each meets the oracle when its turn comes.

    A subclass says through which view of the oracle a phase works. When a phase has spent its share, what it
    recommends becomes the model's parameters, and the next one starts from there.

    Args:
        phases: the strategies by name, in order.
        shares: the share of the budget of each phase; together they must be 1.

    Raises:
        ConfigError: the shares do not fit the phases, are not positive, or do not add up to 1.
    """

    def __init__(self, phases: Mapping[str, Strategy], shares: Mapping[str, float]):
        super().__init__()
        check_shares(phases, shares)
        self.phases = nn.ModuleDict(phases)
        ends = accumulate(shares[name] for name in phases)
        self.ends = dict(zip(phases, ends, strict=True))
        self.ends[list(phases)[-1]] = 1.0  # whatever the shares' rounding, the last one takes the rest
        self.position = 0
        self._entered: int | None = None
        self._view: Oracle | None = None

    @abstractmethod
    def view(self, name: str, oracle: Oracle) -> Oracle:
        """The door for the phase ``name``, made when it begins and again after a resume.

        Args:
            name: the phase.
            oracle: with the phase's own account.
        """

    @property
    def requires(self) -> frozenset[str]:
        """What the phases require."""
        return frozenset().union(*(phase.requires for phase in self.phases.values()))

    def setup(self, oracle: Oracle) -> None:
        self.position = 0
        self._enter(oracle)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        self._reenter_if_loaded(oracle)
        if self._view.exhausted and self.position < len(self.phases) - 1:
            self._phase.deploy(self._view)
            self.position += 1
            self._enter(oracle)
        return self._phase.step(self._view, batch)

    def optimizers(self, module: nn.Module) -> list[torch.optim.Optimizer]:
        return [optimizer for phase in self.phases.values() for optimizer in phase.optimizers(module)]

    def deploy(self, oracle: Oracle) -> None:
        self._reenter_if_loaded(oracle)
        self._phase.deploy(self._view)

    def facts(self) -> Mapping[str, str]:
        return {f"{name}.{key}": fact for name, phase in self.phases.items() for key, fact in phase.facts().items()}

    def get_extra_state(self) -> dict[str, int]:
        return {"position": self.position}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.position = state["position"]

    @property
    def _phase(self) -> Strategy:
        return list(self.phases.values())[self.position]

    def _enter(self, oracle: Oracle) -> None:
        name = list(self.phases)[self.position]
        self._view = self.view(name, oracle.phase(name, self.ends[name]))
        self._phase.setup(self._view)
        self._entered = self.position

    def _reenter_if_loaded(self, oracle: Oracle) -> None:
        """After a checkpoint was loaded into a later phase: enter it, but keep all state as it was loaded."""
        if self._entered == self.position:
            return
        enter_as_loaded(self, oracle, self._enter)


def enter_as_loaded(strategy: Strategy, oracle: Oracle, enter: Callable[[Oracle], None]) -> None:
    """Let parts of a strategy meet the oracle again, which begins them anew, and bring all state back."""
    state = {key: copied(value) for key, value in strategy.state_dict().items()}
    with untouched(oracle):
        enter(oracle)
    strategy.load_state_dict(state)


def copied(value: object) -> object:
    """A tensor's copy, so that it does not change with the original; other values as they are."""
    return value.clone() if isinstance(value, torch.Tensor) else value


@contextmanager
def untouched(oracle: Oracle) -> Iterator[None]:
    """Bring the model, the oracle's encoding and the generator back to what they were."""
    parts = (oracle.model, oracle.encoding)
    states = [{key: copied(value) for key, value in part.state_dict().items()} for part in parts]
    random = oracle.generator.get_state()
    yield
    for part, state in zip(parts, states, strict=True):
        part.load_state_dict(state)
    oracle.generator.set_state(random)


def check_search(part: Strategy, role: str, example: str) -> None:
    """Refuse a part, the one called ``search``, that is none.

    Args:
        part: the part.
        role: what it is wanted for, as the beginning of the sentence.
        example: a search by name.
    """
    if not isinstance(part, Search):
        name = type(part).__name__
        raise ConfigError(f"{role}, and {name} is none: choose one, such as strategy/search={example}.")


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
