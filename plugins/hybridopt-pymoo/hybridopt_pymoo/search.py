"""What all strategies of this package share: children by pymoo's operators, and a population that lives on.

Nothing of pymoo's lives from one generation to the next: its populations are made of buffers each time, and its numpy
generator is seeded by a number that the run's generator draws.
"""

from __future__ import annotations

from abc import abstractmethod
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from pymoo.core.duplicate import DefaultDuplicateElimination, DuplicateElimination, NoDuplicateElimination
from pymoo.core.mating import Mating
from pymoo.core.selection import Selection
from pymoo.core.survival import Survival
from torch import Tensor

from hybridopt import ConfigError
from hybridopt.toolbox.front_population import FrontPopulation
from hybridopt.toolbox.fronts import Choice
from hybridopt.toolbox.ranges import at_least
from hybridopt_pymoo.variation import Settings, population

SMALLEST = 4  # members, for tournaments of two between two
SEEDS = 2**63 - 1
WEIGHTED = {"choice": "weights", "weights": {"loss": 1.0}}


class PymooSearch(FrontPopulation):
    """A population whose children are made by pymoo's operators.

    A member that has failed is no parent while there are others, and lives on only where there are too few of these.

    Class attributes:
        notes: the attributes of an individual that pymoo's selection asks for, kept from its survival.

    Args:
        popsize: members of a generation.
        settings: how children are made.
        choice: what is recommended of a front.
    """

    conformance: ClassVar[dict[str, Any]] = {
        **FrontPopulation.conformance,
        "settings": [WEIGHTED, {"variation": "binary"}],
    }
    notes: ClassVar[tuple[str, ...]] = ()
    noted: Tensor  # (n, len(notes)), float64

    def __init__(self, popsize: int, settings: Settings, choice: Choice):
        super().__init__(choice)
        at_least("strategy", SMALLEST, popsize=popsize)
        self.popsize, self.variation = popsize, settings.built()
        self.random = np.random.default_rng(0)  # of each generation its own

    @abstractmethod
    def selection(self) -> Selection:
        """How parents are chosen."""

    @abstractmethod
    def chosen(self, own: np.ndarray, new: np.ndarray) -> np.ndarray:
        """:meth:`survivors` in float64; sets :attr:`noted` of these."""

    def prepare(self, objectives: int) -> int:
        """Make further state, for so many objectives; how many members there are."""
        return self.popsize

    def first(self, x0: Tensor) -> Tensor:
        count = self.prepare(len(self.names))
        self.register_buffer("noted", x0.new_zeros((count, len(self.notes)), dtype=torch.float64))
        return self.variation.first(count, x0, self.generator)

    def nearer(self) -> Tensor:
        return self.variation.nearer(self.members, self.x0)

    def ask(self) -> Tensor:
        seed = int(torch.randint(SEEDS, (), generator=self.generator, device=self.generator.device))
        self.random = np.random.default_rng(seed)
        return super().ask()

    def survivors(self, own: Tensor, new: Tensor) -> Tensor:
        places = self.chosen(own.cpu().double().numpy(), new.cpu().double().numpy())
        return torch.from_numpy(places).to(own.device)

    def offspring(self) -> Tensor:
        """As many as there are members, other than these and one another as far as that is possible."""
        able = self.able.cpu().numpy()
        able = able if able.sum() > 1 else np.ones_like(able)
        points = self.variation.points(self.members)[able]
        parents = population(points, self.values.cpu().double().numpy()[able], **self._notes_of(able))
        problem, count = self.variation.problem(points, self.x0, self.values.shape[1]), len(self.members)
        made = self.mating(DefaultDuplicateElimination()).do(problem, parents, count, **self._with())
        if len(made) < count:
            rest = self.mating(NoDuplicateElimination()).do(problem, parents, count - len(made), **self._with())
            made = type(parents).merge(made, rest)
        return self.variation.vectors(made.get("X"), self.x0)

    def mating(self, elimination: DuplicateElimination) -> Mating:
        """Selection, crossover and mutation."""
        return Mating(
            self.selection(), self.variation.crossover, self.variation.mutation, eliminate_duplicates=elimination
        )

    def _with(self) -> dict[str, Any]:
        """What pymoo's functions ask for besides: a source of randomness, and a setting of NSGA-II's tournament."""
        algorithm = SimpleNamespace(random_state=self.random, tournament_type="comp_by_dom_and_crowding")
        return {"random_state": self.random, "algorithm": algorithm}

    def _notes_of(self, able: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(self.notes, self.noted.cpu().numpy()[able].T, strict=True))


class SurvivalSearch(PymooSearch):
    """One whose survivors are chosen from members and children together, by a survival of pymoo's."""

    @abstractmethod
    def survive(self, individuals: Any, count: int, own: np.ndarray) -> Any:
        """So many of pymoo's individuals, of which each has finite readings.

        Args:
            individuals: members and children together.
            count: how many live on.
            own: the finite readings of the members.
        """

    def chosen(self, own: np.ndarray, new: np.ndarray) -> np.ndarray:
        both, count = np.concatenate([own, new]), len(self.members)
        fine = np.isfinite(both).all(axis=1)
        able = population(fine.nonzero()[0][:, None], both[fine])
        chosen = self.survive(able, min(count, len(able)), own[np.isfinite(own).all(axis=1)])
        failed = (~fine).nonzero()[0][: count - len(chosen)]
        missing = np.zeros((len(failed), len(self.notes)))
        columns = [np.asarray(chosen.get(name), dtype=np.float64) for name in self.notes]
        notes = np.concatenate([np.stack(columns, axis=1) if columns else np.zeros((len(chosen), 0)), missing])
        self.noted = torch.from_numpy(notes).to(self.noted)
        return np.concatenate([chosen.get("X")[:, 0], failed])

    def by(self, survival: Survival, individuals: Any, count: int, **further: Any) -> Any:
        """What a survival of pymoo's leaves."""
        _, objectives = individuals.get("F").shape
        size = SimpleNamespace(n_obj=objectives, has_constraints=lambda: False)
        return survival.do(size, individuals, n_survive=count, random_state=self.random, **further)


def enough(popsize: int, objectives: int, name: str) -> None:
    """Refuse fewer members than there are objectives.

    Raises:
        ConfigError: there are.
    """
    if popsize < objectives:
        raise ConfigError(
            f"strategy={name} gives each objective a direction of its own: strategy.popsize must be at least "
            f"{objectives}, but is {popsize}."
        )
