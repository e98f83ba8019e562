"""CMA-ME (Fontaine, Togelius, Nikolaidis & Hoover 2020), https://arxiv.org/abs/1912.02400, through pyribs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np

from hybridopt import Objective
from hybridopt.toolbox.ranges import one_of
from hybridopt_pyribs import emitting
from hybridopt_pyribs.quality_diversity import QualityDiversity

if TYPE_CHECKING:
    from hybridopt_pyribs.library import Library

RANKERS = {"improvement": "2imp", "random_direction": "2rd", "optimizing": "2obj"}


class CmaMe(QualityDiversity):
    """CMA-ME: evolution strategies that adapt their steps to what improves the archive.

    Good for archives of small networks, or in encoding=subspace: the covariance leads where MAP-Elites draws blindly.

    An emitter that adds nothing to the archive any more starts again from an elite drawn by chance. Where batches
    change, improvements compare losses of two batches, which is noisier than full batches are.

    Args:
        measures: what tells networks apart, by name; the share of the weights' norm in the first layer, and the mean
            probability of the first output, if none is given.
        ranges: [low, high] of each measure by name, where it has none of its own or another is of interest.
        cells: into how many each range is divided.
        popsize: candidates of each emitter per step.
        emitters: how many there are.
        sigma: the first standard deviation.
        ranker: what candidates are ranked by, those that enter the archive before all others: by how much they improve
            it, how far they are in a direction drawn by chance, or their loss.
        covariance: "full", for up to 2000 dimensions, or "diagonal", for any; full up to 500 dimensions if None.
        finalists: how many of the best elites are evaluated again on each new batch.
        worst: the loss from which on an elite adds nothing to the QD score, the sum of max(0, worst - loss); that of
            the network at the start, on the first batch, if None.

    Raises:
        ConfigError: a number is out of range, a measure has no range, or there are too many dimensions for a full
            covariance.
    """

    search_space: ClassVar[dict[str, str]] = {"sigma": "tag(log, interval(0.005, 0.5))"}

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
        ranker: Literal["improvement", "random_direction", "optimizing"] = "improvement",
        covariance: Literal["full", "diagonal"] | None = None,
        finalists: int = 8,
        worst: float | None = None,
    ):
        super().__init__(measures, ranges, cells, finalists, worst)
        emitting.check(popsize, emitters, sigma, covariance)
        one_of("strategy", RANKERS, ranker=ranker)
        self.popsize, self.emitters, self.sigma = popsize, emitters, sigma
        self.ranker, self.covariance = ranker, covariance

    def build(self, x0: np.ndarray, floor: float | None) -> Library:
        from hybridopt_pyribs.archive import Grid
        from hybridopt_pyribs.library import Library

        kind = emitting.strategy_of("cma_me", self.covariance, len(x0))
        archive = Grid(len(x0), self.cells, list(self.bounds.values()))
        settings = {"sigma0": self.sigma, "batch_size": self.popsize, "ranker": RANKERS[self.ranker], "es": kind}
        return Library(archive, emitting.evolution_strategies(archive, x0, self.emitters, **settings))
