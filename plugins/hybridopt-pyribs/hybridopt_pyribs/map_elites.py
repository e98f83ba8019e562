"""MAP-Elites (Mouret & Clune 2015), https://arxiv.org/abs/1504.04909, through pyribs.

Its variation along the line between two elites: Vassiliades & Mouret 2018, https://doi.org/10.1145/3205455.3205602.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np

from hybridopt import Objective
from hybridopt.toolbox.ranges import at_least, one_of, positive
from hybridopt_pyribs.quality_diversity import QualityDiversity

if TYPE_CHECKING:
    from hybridopt_pyribs.library import Library


class MapElites(QualityDiversity):
    """MAP-Elites: keep the best network of each kind, and make new ones of any of them.

    Good for deceptive losses, and for many good networks that differ: a detour is taken by way of networks that are
    better at nothing but at being different.

    Where batches change, the best elites are evaluated again on each, and the one with the lowest mean is recommended.

    Args:
        measures: what tells networks apart, by name; the share of the weights' norm in the first layer, and the mean
            probability of the first output, if none is given.
        ranges: [low, high] of each measure by name, where it has none of its own or another is of interest.
        cells: into how many each range is divided.
        popsize: candidates per step.
        variation: "line" adds noise and a step along the line to another elite, "gaussian" noise alone.
        sigma: the standard deviation of the noise.
        line_sigma: that of the step, as a share of the distance.
        finalists: how many of the best elites are evaluated again on each new batch.
        worst: the loss from which on an elite adds nothing to the QD score, the sum of max(0, worst - loss); that of
            the network at the start, on the first batch, if None.

    Raises:
        ConfigError: a number is out of range, or a measure has no range.
    """

    search_space: ClassVar[dict[str, str]] = {
        "sigma": "tag(log, interval(0.005, 0.5))",
        "line_sigma": "tag(log, interval(0.02, 1.0))",
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
        popsize: int = 64,
        variation: Literal["line", "gaussian"] = "line",
        sigma: float = 0.05,
        line_sigma: float = 0.2,
        finalists: int = 8,
        worst: float | None = None,
    ):
        super().__init__(measures, ranges, cells, finalists, worst)
        at_least("strategy", 1, popsize=popsize)
        one_of("strategy", ("line", "gaussian"), variation=variation)
        positive("strategy", sigma=sigma, line_sigma=line_sigma)
        self.popsize, self.variation, self.sigma, self.line_sigma = popsize, variation, sigma, line_sigma

    def build(self, x0: np.ndarray, floor: float | None) -> Library:
        from ribs.emitters import GaussianEmitter, IsoLineEmitter

        from hybridopt_pyribs.archive import Grid
        from hybridopt_pyribs.library import Library

        archive = Grid(len(x0), self.cells, list(self.bounds.values()))
        shared = {"x0": x0, "batch_size": self.popsize, "seed": 0}
        if self.variation == "gaussian":
            return Library(archive, [GaussianEmitter(archive, sigma=self.sigma, **shared)])
        noise = {"iso_sigma": self.sigma, "line_sigma": self.line_sigma}
        return Library(archive, [IsoLineEmitter(archive, **noise, **shared)])
