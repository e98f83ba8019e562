"""Pyribs' grid of cells (Mouret & Clune 2015), with what hybridopt asks of it besides.

What is maximised in pyribs is minus the loss here; the sign is turned in this file and at the edge of ``library.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from ribs.archives import GridArchive
from torch import Tensor

from hybridopt.toolbox.fitness import FAILURE

FIELDS = ("solution", "objective", "measures", "threshold", "times")


class Grid(GridArchive):
    """A grid that admits no failure, whose elites can be evaluated again, and that is saved without pickle.

    Args:
        dimension: d, the length of a solution.
        cells: of each measure.
        bounds: low and high of each measure.
        learning_rate: how far the threshold of a cell goes towards the objective of whoever enters it (CMA-MAE); 1 lets
            in what is better than the elite.
        threshold_min: the least objective that enters, where the learning rate is below 1.
    """

    def __init__(
        self,
        dimension: int,
        cells: int,
        bounds: list[tuple[float, float]],
        learning_rate: float = 1.0,
        threshold_min: float = -np.inf,
    ):
        super().__init__(
            solution_dim=dimension,
            dims=[cells] * len(bounds),
            ranges=bounds,
            learning_rate=learning_rate,
            threshold_min=threshold_min,
            seed=0,
            dtype=np.float64,
            extra_fields={"times": ((), np.int64)},
        )

    def add(self, solution: ArrayLike, objective: ArrayLike, measures: ArrayLike, **fields: ArrayLike) -> Any:
        """As pyribs does; failures are told that they were not added, and are worse than everybody else."""
        rows = {"solution": solution, "objective": objective, "measures": measures, **fields}
        fine = np.asarray(objective) > -FAILURE
        if fine.all():
            return super().add(**rows)
        info = {"status": np.zeros(len(fine), np.int32), "value": np.full(len(fine), -FAILURE)}
        if fine.any():
            for name, values in super().add(**{name: np.asarray(row)[fine] for name, row in rows.items()}).items():
                info[name][fine] = values
        return info

    def put(self, solution: np.ndarray, objective: float, measures: np.ndarray) -> None:
        """Give a cell to somebody whatever the threshold."""
        floor = self.threshold_min if np.isfinite(self.threshold_min) else objective
        row = {"solution": solution, "objective": objective, "measures": measures, "threshold": floor, "times": 1}
        index = self.index_of(measures[None])
        self._store.add(index, {name: np.asarray(value)[None] for name, value in row.items()})

    # -- elites, by their rows: in the order in which their cells were first reached ----------------------------------

    @property
    def losses(self) -> np.ndarray:
        """Of each elite (n,), a mean over the batches on which it was evaluated; :data:`FAILURE` of a failure."""
        return -self.data("objective")

    def best(self, count: int) -> np.ndarray:
        """The rows of the elites with the lowest losses, the lowest first."""
        return np.argsort(self.losses, kind="stable")[:count]

    def solutions(self, rows: np.ndarray) -> np.ndarray:
        """(k, d)."""
        return self._store.retrieve(self._store.occupied_list[rows], "solution")[1]

    def refresh(self, rows: np.ndarray, losses: np.ndarray) -> None:
        """Count the losses (k,) of elites on another batch in the means of theirs."""
        cells, fields = self._store.occupied_list[rows], self._store._fields
        times = fields["times"][cells]
        fields["objective"][cells] = (fields["objective"][cells] * times - losses) / (times + 1)
        fields["times"][cells] = times + 1
        if not np.isfinite(self.threshold_min):  # no elite keeps others out by a loss that was luck
            fields["threshold"][cells] = fields["objective"][cells]

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def freeze(self) -> dict[str, Tensor]:
        """All elites, as tensors; the order of the cells is that in which they are drawn from."""
        state = {name: self.data(name) for name in FIELDS} | {"cells": self._store.occupied_list.copy()}
        return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in state.items()}

    def thaw(self, state: dict[str, Tensor]) -> None:
        """Have the elites that :meth:`freeze` gave."""
        cells, store = state["cells"].cpu().numpy(), self._store
        store._props["n_occupied"] = len(cells)
        store._props["occupied"][:] = False
        store._props["occupied"][cells] = True
        store._props["occupied_list"][: len(cells)] = cells
        for name in FIELDS:
            store._fields[name][cells] = state[name].cpu().numpy()
