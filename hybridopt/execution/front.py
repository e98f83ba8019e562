"""The front of a run with several objectives: validated at each mark, tested once, and kept."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from hybridopt.core.encoding import Direct
from hybridopt.core.objective import Batch, Objective
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Strategy
from hybridopt.toolbox.fronts import distinct, nondominated

log = logging.getLogger(__name__)

MARGIN = 0.1  # by which the corner of hypervolumes is worse than the network before training, relative to each value


@dataclass
class Mark:
    """A front at a mark.

    Args:
        forwards: spent until then.
        readings: (m, k), of validation, ordered by the first objective.
    """

    forwards: int
    readings: Tensor


@dataclass
class _Question:
    """Networks that are being evaluated.

    Args:
        oracle: in direct coordinates, which charges nobody.
        vectors: (r, P).
        searched: whether the strategy has told what its front is.
        sums: (r, k), of their readings so far, each times the samples of its batch.
        samples: so far.
    """

    oracle: Oracle
    vectors: Tensor
    searched: bool = False
    sums: Tensor | float = 0.0
    samples: int = 0

    @property
    def readings(self) -> Tensor:
        """The means (r, k)."""
        return cast(Tensor, self.sums) / self.samples


@dataclass
class Front:
    """The networks of a run of which none is better than another one by all objectives, on the validation set.

    A strategy that searches a front tells what its members are. Of any other strategy it is what has been recommended
    at the marks. Networks are evaluated with the running statistics that the model has.

    Args:
        objective: of the run, with its parts.

    Attributes:
        vectors: (m, P), the parameters of the members, in the order of the model's; none before the first mark.
        readings: (m, k), of validation, ordered by the first objective.
        tested: (m, k), once the test is over.
        marks: the fronts at all marks so far.
        reference: (k,), from which hypervolumes are measured; known from the first mark on.
    """

    objective: Objective
    vectors: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    readings: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    tested: Tensor | None = None
    marks: list[Mark] = field(default_factory=list)
    reference: Tensor | None = None
    _start: Tensor | None = None  # (P,), the network before training, until it has been evaluated
    _asked: _Question | None = None

    @property
    def names(self) -> list[str]:
        """Of the objectives, in the order of the readings."""
        return list(self.objective.parts)

    # -- at a mark ---------------------------------------------------------------------------------------------------

    def begin(self, oracle: Oracle) -> None:
        """Look at the network before training, from which hypervolumes are measured."""
        if self.reference is None:
            self._start = _direct(oracle).point

    def open(self, oracle: Oracle, strategy: Strategy | None) -> None:
        """Begin to evaluate the network as it stands, and the members of the front.

        Args:
            oracle: of the run, whose network is the recommended one.
            strategy: whose front is to be validated; None to test the members as they are.
        """
        direct, searched = _direct(oracle), False
        rows = [direct.point[None]]
        if strategy is None:
            rows.append(self.vectors.to(rows[0]))
        else:
            rows += [] if self._start is None else [self._start[None]]
            found = strategy.front()
            searched = found is not None
            rows += [direct.vector_of(oracle, z)[None] for z in (() if found is None else found)]
        self._asked = _Question(direct, torch.cat(rows), searched)

    def update(self, batch: Batch) -> None:
        """One more batch, whose passes nobody is charged for."""
        asked = self._asked
        if asked is not None:
            count = len(batch[1])
            asked.sums = asked.sums + count * asked.oracle.readings(asked.vectors, batch).double()
            asked.samples += count

    def validated(self, forwards: int) -> dict[str, float]:
        """What the validation set says of the recommendation, and of the front, which is known from now on."""
        asked, self._asked = cast(_Question, self._asked), None
        recommended, readings, vectors = asked.readings[0], asked.readings[1:], asked.vectors[1:]
        if self._start is not None:
            self.reference, self._start = self._corner(readings[0]), None
            readings, vectors = readings[1:], vectors[1:]
        if not asked.searched:
            known = self.readings.to(recommended).reshape(-1, len(recommended))
            former = self.vectors.to(asked.vectors).reshape(-1, asked.vectors.shape[1])
            readings, vectors = torch.cat([known, recommended[None]]), torch.cat([former, asked.vectors[:1]])
        self._keep(readings, vectors)
        self.marks.append(Mark(forwards, self.readings))
        return self._values("val", recommended, self.readings)

    def tests(self) -> dict[str, float]:
        """What the test set says of the network as it stands, and of the front."""
        asked, self._asked = cast(_Question, self._asked), None
        self.tested = asked.readings[1:]
        return self._values("test", asked.readings[0], self.tested)

    def directions(self) -> dict[str, bool | None]:
        """Whether higher is better, of what validation says."""
        others = {f"val/objective/{name}": False for name in self.names[1:]}
        return others | {"val/hypervolume": True, "val/front_size": None}

    def _keep(self, readings: Tensor, vectors: Tensor) -> None:
        best = nondominated(readings) & distinct(readings)
        order = best.nonzero()[:, 0]
        order = order[readings[order, 0].argsort(stable=True)]
        self.readings, self.vectors = readings[order], vectors[order].detach().clone()

    def _corner(self, start: Tensor) -> Tensor:
        """The reference point: as the user says, else a little worse than the network before training."""
        said = getattr(self.objective, "reference", {})
        worse = start + MARGIN * start.abs()
        return torch.tensor([float(said.get(name, worse[i])) for i, name in enumerate(self.names)], dtype=torch.float64)

    def _values(self, stage: str, recommended: Tensor, front: Tensor) -> dict[str, float]:
        others = zip(self.names[1:], recommended[1:].tolist(), strict=True)  # the first one is the loss
        values = {f"{stage}/objective/{name}": value for name, value in others}
        return values | {f"{stage}/hypervolume": self.hypervolume(front), f"{stage}/front_size": float(len(front))}

    def hypervolume(self, readings: Tensor) -> float:
        """The volume that a front (m, k) dominates, up to the reference point; NaN where there is none.

        Zitzler & Thiele 1998, https://doi.org/10.1007/BFb0056872, by Fonseca, Paquete & López-Ibáñez's algorithm.
        """
        import moocore

        if self.reference is None or not torch.isfinite(self.reference).all():
            return math.nan
        fine = readings[torch.isfinite(readings).all(dim=1)].double().cpu()
        return float(moocore.hypervolume(fine.numpy(), ref=self.reference.numpy())) if len(fine) else 0.0

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {
            "vectors": self.vectors,
            "readings": self.readings,
            "marks": [(mark.forwards, mark.readings) for mark in self.marks],
            "reference": self.reference,
            "start": self._start,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Be as :meth:`state` says."""
        self.vectors, self.readings = state["vectors"], state["readings"]
        self.marks = [Mark(forwards, readings) for forwards, readings in state["marks"]]
        self.reference, self._start = state["reference"], state["start"]


def front_of(objective: Objective) -> Front | None:
    """The front of a run, which has one where it has several objectives."""
    return Front(objective) if len(objective.parts) > 1 else None


def _direct(oracle: Oracle) -> Oracle:
    return oracle.encoded(Direct()).unmetered()
