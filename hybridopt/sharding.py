"""Who evaluates which members of a population."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Sharding(ABC):
    """How a population is shared out over processes that all know it; only answers are exchanged."""

    @abstractmethod
    def part(self, members: int) -> slice:
        """The members that this process evaluates; every member is evaluated by exactly one process."""

    @abstractmethod
    def gather(self, answers: Tensor, members: int) -> Tensor:
        """This process's answers (k, ...) -> those of all members (members, ...), the same on every process."""

    @abstractmethod
    def total(self, count: int) -> int:
        """The sum of a count over all processes."""


class Alone(Sharding):
    """One process evaluates all."""

    def part(self, members: int) -> slice:
        return slice(0, members)

    def gather(self, answers: Tensor, members: int) -> Tensor:
        return answers

    def total(self, count: int) -> int:
        return count
