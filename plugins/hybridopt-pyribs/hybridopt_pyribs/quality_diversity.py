"""What all strategies of this package share: an archive of networks, the best of each kind.

Quality diversity: Pugh, Soros & Stanley 2016, https://doi.org/10.3389/frobt.2016.00040.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from hybridopt import Batch, ConfigError, Handover, Objective, Oracle, Record, Strategy
from hybridopt.toolbox import ranges as checks
from hybridopt.toolbox.fitness import FAILURE
from hybridopt.toolbox.measures import RelativeObjective, bounds_of

if TYPE_CHECKING:
    from hybridopt_pyribs.library import Library

MOST_CELLS = 1_000_000


class QualityDiversity(Strategy):
    """Asks pyribs for candidates, and tells it their losses and measures, which one pass gives.

    Each cell of the archive keeps the network with the lowest loss of those that fall into it. Losses of different
    batches do not compare: where batches change, the best elites are evaluated again on each, charged, and the mean of
    all that an elite came to counts. The one with the lowest mean is recommended.

    The QD score is the sum over all elites of max(0, ``worst`` - loss).

    Args:
        measures: what tells networks apart, by name: objectives that are read.
        ranges: [low, high] of each measure by name, where it has none of its own or another is of interest; what is
            outside counts to the outermost cells.
        cells: into how many each range is divided.
        finalists: how many of the best elites are evaluated again on each new batch.
        worst: the loss from which on an elite adds nothing to the QD score; that of the network at the start, on the
            first batch, if None.

    Raises:
        ConfigError: a number is out of range, or a measure has no range.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"losses"})
    hands_over: ClassVar[frozenset[str]] = frozenset({"population"})
    takes: ClassVar[frozenset[str]] = frozenset({"population"})
    x0: Tensor  # (d,), the start
    best: Tensor  # (d,), what is recommended
    offset: Tensor  # a scalar, ``worst``; NaN while it is not known
    answers: Tensor | None  # of the start, (B, output_size), where a measure compares with it

    def __init__(
        self,
        measures: Mapping[str, Objective],
        ranges: Mapping[str, list[float]],
        cells: int,
        finalists: int,
        worst: float | None,
    ):
        super().__init__()
        checks.at_least("strategy", 1, cells=cells, finalists=finalists)
        checks.finite("strategy", worst=worst)
        self.bounds = bounds_of(measures, ranges)
        if cells ** len(measures) > MOST_CELLS:
            raise ConfigError(
                f"strategy.cells={cells} of each of {len(measures)} measures are {cells ** len(measures):,} cells: "
                f"lower it, so that there are {MOST_CELLS:,} at most."
            )
        self.measures = cast(Mapping[str, Objective], nn.ModuleDict(measures))
        self.cells, self.finalists, self.worst = cells, finalists, worst
        self._library: Library | None = None
        self._floor: float | None = None  # the offset as it was when the archive was made
        self._oracle: Oracle | None = None

    @abstractmethod
    def build(self, x0: np.ndarray, floor: float | None) -> Library:
        """Archives and emitters.

        Args:
            x0: (d,) the start.
            floor: the highest loss that is of interest; None where it is not known.
        """

    # -- the contract -------------------------------------------------------------------------------------------------

    def attach(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        others = oracle.inherited.population
        self.register_buffer("x0", oracle.start)
        self.register_buffer("best", self.x0.clone())
        self.register_buffer("offset", torch.tensor(math.nan if self.worst is None else self.worst).double())
        self.register_buffer("answers", None)
        population = self.x0[None] if others is None else torch.cat([self.x0[None], others.to(self.x0)])
        try:
            losses, measures = self._read(oracle, population, batch)
        except ConfigError as error:
            raise self._placed(error, oracle, batch) from error
        self._know_offset(losses[:1])
        self._floor = None if self.offset.isnan() else float(self.offset)
        self._library = self._built()
        self._library.seed(oracle.generator)
        solutions = numbers(population)
        self._library.begin(solutions[0], losses[0], measures[0])
        if len(solutions) > 1:
            self._library.add(solutions[1:], losses[1:], measures[1:])
            self._recommend_of(self._library.result.best(1))

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        self._library.seed(oracle.generator)
        with oracle.evaluating():
            return self.generation(oracle, batch)

    def generation(self, oracle: Oracle, batch: Batch) -> Record:
        """Ask, evaluate and tell once; the best elites are evaluated with the candidates, where the batch is new."""
        result = self._library.result
        again = result.best(0 if oracle.repeats else self.finalists)
        elites, candidates = self.vectors(result.solutions(again)), self.vectors(self._library.ask())
        losses, measures = self._read(oracle, torch.cat([elites, candidates]), batch)
        count = len(again)
        self._know_offset(losses[count:])
        result.refresh(again, np.minimum(losses[:count], FAILURE))
        finalists = result.losses[again]
        if count:  # before others come, with losses that are of this batch alone
            self._recommend_of(again[[finalists.argmin()]])
        self._library.tell(losses[count:], measures[count:])
        if not count:
            self._recommend_of(result.best(1))
        return {"loss": float(losses.min()), **self.scores()}

    def recommend(self) -> Tensor:
        return self.best

    def handover(self) -> Handover:
        return Handover() if self._library is None else Handover(population=self.elites())

    def facts(self) -> dict[str, str]:
        if self._library is None:
            return {}
        scores = self.scores()
        return {"elites": f"{scores['elites']:g}", "coverage": f"{scores['coverage']:.4g}", "worst": f"{self.offset:g}"}

    # -- what there is ------------------------------------------------------------------------------------------------

    def scores(self) -> dict[str, float]:
        """The QD score, the share of cells that are taken, and the number of elites."""
        losses = self._library.result.losses
        alive = losses[losses < FAILURE]
        offset = float(self.offset.nan_to_num())
        score = np.maximum(0.0, offset - alive).sum()
        share = len(alive) / self.cells ** len(self.bounds)
        return {"qd_score": float(score), "coverage": share, "elites": float(len(alive))}

    def rows(self) -> np.ndarray:
        """The rows of the elites that have not failed, the lowest loss first."""
        result = self._library.result
        order = result.best(len(result))
        return order[result.losses[order] < FAILURE]

    def elites(self) -> Tensor:
        """All of them (n, d), the lowest loss first."""
        return self.vectors(self._library.result.solutions(self.rows()))

    def artifacts(self, folder: Path) -> None:
        """Write the archive: ``archive.parquet``, ``archive.safetensors`` and ``archive.png``."""
        from hybridopt_pyribs.artifacts import write

        if self._library is not None and len(self.rows()):
            shapes = None if self._oracle is None else self._oracle.shapes
            write(folder, self._library.result, self.rows(), self.elites().cpu(), list(self.bounds), shapes)

    # -- at the edge --------------------------------------------------------------------------------------------------

    def asked(self, oracle: Oracle) -> list[Objective]:
        """The objective, and the measures: those that one pass is to be read by."""
        return [next(iter(oracle.objective.parts.values())), *self.measures.values()]

    def vectors(self, points: np.ndarray) -> Tensor:
        """(n, d) of pyribs, in the type and on the device of the weights."""
        return torch.from_numpy(points).to(self.x0.dtype, copy=True).to(self.x0.device)

    def refer(self, oracle: Oracle, batch: Batch) -> None:
        """Have what the start answers on this batch, for measures that compare with it; costs B forwards."""
        relative = [measure for measure in self.measures.values() if isinstance(measure, RelativeObjective)]
        if relative and not (oracle.repeats and self.answers is not None):
            self.answers = oracle.with_objective(relative[0]).outputs(self.x0[None], batch)[0]
        for measure in relative:
            measure.compare_with(self.answers)

    def _read(self, oracle: Oracle, population: Tensor, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Losses (n,) and measures (n, k), float64."""
        self.refer(oracle, batch)
        readings = oracle.readings(population, batch, self.asked(oracle)).double().cpu().numpy()
        return readings[:, 0], readings[:, 1:]

    def _placed(self, error: ConfigError, oracle: Oracle, batch: Batch) -> ConfigError:
        """The same error about a measure, which knows its settings by its kind and not by its place in the config."""
        for name, measure in self.measures.items():
            try:
                oracle.readings(self.x0[None], batch, [measure])
            except ConfigError as own:
                return ConfigError(str(own).replace("objective.", f"strategy.measures.{name}.", 1))
        return error

    def _know_offset(self, losses: np.ndarray) -> None:
        finite = losses[np.isfinite(losses)]
        if self.offset.isnan() and len(finite):
            self.offset = torch.full_like(self.offset, finite.max())

    def _recommend_of(self, rows: np.ndarray) -> None:
        self.best = self.vectors(self._library.result.solutions(rows))[0]

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def _built(self) -> Library:
        try:
            return self.build(numbers(self.x0), self._floor)
        except MemoryError as error:
            raise ConfigError(
                f"An archive of {self.cells ** len(self.bounds):,} cells has no room for networks of {len(self.x0):,} "
                "weights: lower strategy.cells, or take encoding=subspace."
            ) from error

    def get_extra_state(self) -> dict[str, Any] | None:
        return None if self._library is None else {"floor": self._floor, "library": self._library.freeze()}

    def set_extra_state(self, state: dict[str, Any] | None) -> None:
        self._library = None
        if state is not None:
            self._floor = state["floor"]
            self._library = self._built()
            self._library.thaw(state["library"])


def numbers(values: Tensor) -> np.ndarray:
    """A tensor as pyribs takes it: a copy, float64."""
    return values.detach().cpu().to(torch.float64, copy=True).numpy()
