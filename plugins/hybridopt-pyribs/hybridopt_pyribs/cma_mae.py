"""CMA-MAE (Fontaine & Nikolaidis 2023), https://arxiv.org/abs/2205.10752, through pyribs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np

from hybridopt import Objective
from hybridopt.toolbox.fitness import FAILURE
from hybridopt.toolbox.ranges import share
from hybridopt_pyribs import emitting
from hybridopt_pyribs.quality_diversity import QualityDiversity

if TYPE_CHECKING:
    from hybridopt_pyribs.library import Library


class CmaMae(QualityDiversity):
    """CMA-MAE: CMA-ME whose cells are won step by step, so that the search does not leave a good region too early.

    Good for archives where CMA-ME spreads before it optimises: flat losses, and regions that are hard to reach.

    A cell has a threshold, from which an improvement counts, and which goes by ``learning_rate`` towards the loss of
    whoever passes it: 1 is nearly CMA-ME, 0 a plain CMA-ES. It begins at ``worst``: worse networks do not count. What
    is kept, and recommended, is a second archive, of the best of each cell.

    Args:
        measures: what tells networks apart, by name; the share of the weights' norm in the first layer, and the mean
            probability of the first output, if none is given.
        ranges: [low, high] of each measure by name, where it has none of its own or another is of interest.
        cells: into how many each range is divided.
        popsize: candidates of each emitter per step.
        emitters: how many there are.
        sigma: the first standard deviation.
        learning_rate: how far a threshold goes.
        covariance: "full", for up to 2000 dimensions, or "diagonal", for any; full up to 500 dimensions if None.
        finalists: how many of the best elites are evaluated again on each new batch.
        worst: the loss from which on an elite adds nothing to the QD score, the sum of max(0, worst - loss); that of
            the network at the start, on the first batch, if None.

    Raises:
        ConfigError: a number is out of range, a measure has no range, or there are too many dimensions for a full
            covariance.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.005, 0.5))",
        "learning_rate": "tag(log, interval(0.001, 1.0))",
    }

    def __init__(
        self,
        measures: Annotated[
            dict[str, Objective],
            {
                "first_layer": {"name": "layer_share"},
                "first_output": {"name": "mean_output", "activation": "softmax"},
            },
        ] = {},
        ranges: dict[str, list[float]] = {},
        cells: int = 20,
        popsize: int = 36,
        emitters: int = 3,
        sigma: float = 0.05,
        learning_rate: float = 0.01,
        covariance: Literal["full", "diagonal"] | None = None,
        finalists: int = 8,
        worst: float | None = None,
    ):
        super().__init__(measures, ranges, cells, finalists, worst)
        emitting.check(popsize, emitters, sigma, covariance)
        share("strategy", "[0, 1]", learning_rate=learning_rate)
        self.popsize, self.emitters, self.sigma = popsize, emitters, sigma
        self.learning_rate, self.covariance = learning_rate, covariance

    def build(self, x0: np.ndarray, floor: float | None) -> Library:
        from hybridopt_pyribs.archive import Grid
        from hybridopt_pyribs.library import Library

        kind = emitting.strategy_of("cma_mae", self.covariance, len(x0))
        bounds, least = list(self.bounds.values()), -FAILURE if floor is None else -floor
        archive = Grid(len(x0), self.cells, bounds, self.learning_rate, least)
        settings = {"sigma0": self.sigma, "batch_size": self.popsize, "es": kind}
        rules = {"ranker": "imp", "selection_rule": "mu", "restart_rule": "basic"}  # the paper's
        emitters = emitting.evolution_strategies(archive, x0, self.emitters, **settings, **rules)
        return Library(archive, emitters, Grid(len(x0), self.cells, bounds))
