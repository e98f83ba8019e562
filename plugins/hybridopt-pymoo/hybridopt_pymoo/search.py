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

from hybridopt import ConfigError, FrontSearch
from hybridopt.toolbox import inheritance
from hybridopt.toolbox.fronts import Choice, distinct, nondominated
from hybridopt.toolbox.ranges import at_least
from hybridopt_pymoo.variation import Settings, population

SMALLEST = 4  # members, for tournaments of two between two
SEEDS = 2**63 - 1
WEIGHTED = {"choice": "weights", "weights": {"loss": 1.0}}


class PymooSearch(FrontSearch):
    """Asks for the first population, then for children; on a batch that is new, also for the members once more.

    Readings are only compared with others of the same batch, so that no lucky batch decides. A member that has failed
    is no parent while there are others, and lives on only where there are too few of these; a first generation in which
    all have failed is drawn half as far from the start, a later one teaches nothing.

    Class attributes:
        notes: the attributes of an individual that pymoo's selection asks for, kept from its survival.

    Args:
        popsize: members of a generation.
        settings: how children are made.
        choice: what is recommended of a front.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"population"})
    learns_from_points: ClassVar[bool] = True
    conformance: ClassVar[dict[str, Any]] = {**FrontSearch.conformance, "settings": [WEIGHTED, {"variation": "binary"}]}
    notes: ClassVar[tuple[str, ...]] = ()
    x0: Tensor  # (d,)
    members: Tensor  # (n, d)
    values: Tensor  # (n, k), their readings; +inf at first
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
    def survivors(self, own: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Who lives on: places (n,) in members and children, one after the other; sets :attr:`noted` of these.

        Args:
            own: the readings (n, k) of the members; (0, k) in the first generation.
            new: those of the children (c, k). At least one member or child has nothing but finite readings.
        """

    def prepare(self, objectives: int) -> int:
        """Make further state, for so many objectives; how many members there are."""
        return self.popsize

    def start(self, x0: Tensor) -> None:
        objectives = len(self.names)
        count = self.prepare(objectives)
        first = self.variation.first(count, x0, self.generator)
        self.register_buffer("x0", x0.clone())
        self.register_buffer("members", inheritance.members(self.context.inherited, first))
        exact = torch.promote_types(x0.dtype, torch.float32)
        self.register_buffer("values", x0.new_full((count, objectives), torch.inf, dtype=exact))
        self.register_buffer("noted", x0.new_zeros((count, len(self.notes)), dtype=torch.float64))

    def ask(self) -> Tensor:
        seed = int(torch.randint(SEEDS, (), generator=self.generator, device=self.generator.device))
        self.random = np.random.default_rng(seed)
        if self.first_generation:
            return self.members.clone()
        children = self.offspring()
        return torch.cat([self.members, children]) if self.fresh else children

    def tell(self, population: Tensor, readings: Tensor) -> None:
        readings, first = readings.to(self.values), self.first_generation
        if not torch.isfinite(readings).all(dim=1).any():
            self.members = self.variation.nearer(self.members, self.x0) if first else self.members
            return
        again = len(self.members) if self.fresh and not first else 0
        known = (self.members[:0], self.values[:0]) if first else (self.members, self.values)
        own, values = (population[:again], readings[:again]) if again else known
        members, readings_of_all = torch.cat([own, population[again:]]), torch.cat([values, readings[again:]])
        both = readings_of_all.cpu().double().numpy()
        places = torch.from_numpy(self.survivors(both[: len(own)], both[len(own) :])).to(members.device)
        self.members, self.values = members[places], readings_of_all[places]

    def front(self) -> Tensor:
        return self.members[self._best()].clone()

    def front_readings(self) -> Tensor:
        return self.values[self._best()]

    @property
    def first_generation(self) -> bool:
        """Whether no member has finite readings yet."""
        return not bool(torch.isfinite(self.values).all(dim=1).any())

    def offspring(self) -> Tensor:
        """As many as there are members, other than these and one another as far as that is possible."""
        able = torch.isfinite(self.values).all(dim=1).cpu().numpy()
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

    def _best(self) -> Tensor:
        """The places of those that no other one dominates, one for each reading."""
        places = nondominated(self.values).nonzero()[:, 0]
        return places[distinct(self.values[places])]


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

    def survivors(self, own: np.ndarray, new: np.ndarray) -> np.ndarray:
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
