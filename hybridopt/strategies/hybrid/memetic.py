"""Search whose members learn before they are judged: memetic algorithms (Moscato 1989, Caltech C3P report 826).

What is learned is written back (Lamarck), or only counts in the judgement (Baldwin): Hinton & Nowlan 1987, "How
Learning Can Guide Evolution"; Whitley, Gordon & Mathias 1994, https://doi.org/10.1007/3-540-58484-6_245.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.engine.population import Population, materialize
from hybridopt.errors import ConfigError
from hybridopt.toolbox.ranges import at_least, positive
from hybridopt.toolbox.wrapper import Wrapper


class Memetic(Wrapper):
    """Any population search, whose members take a few steps of gradient descent before they are judged.

    Good for losses with many basins, in which the search finds the basin and descent its bottom.

    All members descend at once, on the batch on which they are then judged; a step costs three forwards a member and
    sample. With Baldwinian inheritance the members stay as they were, and what is recommended has learned as they do.
    Of several objectives descent lowers the first, and a search for fronts judges by all of them what that has made;
    with Baldwinian inheritance, which leaves its members behind, the front is what is recommended on the way.

    Args:
        inner: the search.
        steps: of descent, of each member in each generation.
        lr: the length of a step over that of the gradient.
        inheritance: "lamarckian" writes weights back into the members, for searches that learn from points, such as
            genetic_algorithm, differential_evolution, particle_swarm, cem and those for fronts; "baldwinian" suits any.

    Raises:
        ConfigError: a number is out of range, or what is learned cannot be written back into the search.
    """

    search_space: ClassVar[dict[str, str]] = {"lr": "tag(log, interval(0.003, 1.0))", "steps": "choice(1, 2, 5, 10)"}
    refined: Tensor | None  # (d,), what the inner search recommends after its descent; None with Lamarck

    def __init__(
        self,
        inner: Annotated[Strategy, "genetic_algorithm"],
        steps: int = 2,
        lr: float = 0.1,
        inheritance: Literal["lamarckian", "baldwinian"] = "lamarckian",
    ):
        super().__init__(inner)
        at_least("strategy", 1, steps=steps)
        positive("strategy", lr=lr)
        if inheritance == "lamarckian" and not (getattr(inner, "learns_from_points", False)):
            raise ConfigError(
                f"{type(inner).__name__} does not learn from members that have been moved: set "
                "strategy.inheritance=baldwinian, or choose another search, such as "
                "strategy/inner=genetic_algorithm."
            )
        self.steps, self.lr, self.inheritance = steps, lr, inheritance
        self.register_buffer("refined", None)

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {
            "without the descent": ("strategy=@inner",),
            "without the search": ("strategy=sgd", f"strategy.lr={settings['lr']}"),
        }

    @property
    def requires(self) -> frozenset[str]:
        """A gradient, and what the search requires."""
        return super().requires | {"gradient"}

    def attach(self, oracle: Oracle) -> None:
        self._plain, self._view = oracle, oracle.improving(self._learn)
        self.inner.attach(self._view)

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        self.refined = None
        self.inner.begin(self._view, batch)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        record = self.inner.step(self._view, batch)
        if self.inheritance == "baldwinian":
            self.refined = self._descended(self.current(oracle)[None], batch)[0]
        return record

    def recommend(self) -> Tensor | None:
        return self.inner.recommend() if self.refined is None else self.refined

    def front(self) -> Tensor | None:
        return self.inner.front() if self.inheritance == "lamarckian" else None

    def _learn(self, population: Population, batch: Batch) -> Population:
        members = materialize(population)
        learned = self._descended(members, batch)
        if self.inheritance == "lamarckian":
            members.copy_(learned)
        return learned

    def _descended(self, members: Tensor, batch: Batch) -> Tensor:
        """Members (n, d) after their steps."""
        for _ in range(self.steps):
            _, slopes = self._plain.gradients(members, batch)
            members = torch.add(members, slopes.to(members), alpha=-self.lr)
        return members
