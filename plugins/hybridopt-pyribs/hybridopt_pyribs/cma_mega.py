"""CMA-MEGA (Fontaine & Nikolaidis 2021), https://arxiv.org/abs/2106.03894, through pyribs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np

from hybridopt import Batch, Objective, Oracle, Record
from hybridopt.toolbox.measures import check_differentiable
from hybridopt.toolbox.ranges import one_of, positive
from hybridopt_pyribs import emitting
from hybridopt_pyribs.quality_diversity import QualityDiversity, numbers

if TYPE_CHECKING:
    from hybridopt_pyribs.library import Library

OPTIMIZERS = {"sgd": "gradient_ascent", "adam": "adam"}


class CmaMega(QualityDiversity):
    """CMA-MEGA: branches along the gradients of loss and measures, in proportions that CMA-ES adapts.

    Good for large networks with a differentiable loss and measures that are differentiable too.

    Each step takes the gradients of the loss and of the k measures at the centre of each emitter, scales them to length
    1, and evaluates ``popsize`` sums of them with coefficients from a Gaussian in 1 + k dimensions; the centre moves
    towards the better ones.

    Args:
        measures: what tells networks apart, by name; the share of the weights' norm in the first layer, and the mean
            probability of the first output, if none is given.
        ranges: [low, high] of each measure by name, where it has none of its own or another is of interest.
        cells: into how many each range is divided.
        popsize: candidates of each emitter per step; besides, each costs 1 + k gradients.
        emitters: how many there are.
        sigma: the first standard deviation of the coefficients: how far candidates are from the centre.
        optimizer: what moves the centre: "sgd" by ``lr`` times the way to the mean of the better ones, or "adam".
        lr: its step size; 1 for sgd and 0.01 for adam if None.
        finalists: how many of the best elites are evaluated again on each new batch.
        worst: the loss from which on an elite adds nothing to the QD score, the sum of max(0, worst - loss); that of
            the network at the start, on the first batch, if None.

    Raises:
        ConfigError: a number is out of range, or a measure has no range or no gradient.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"losses", "gradient"})
    search_space: ClassVar[dict[str, str]] = {"sigma": "tag(log, interval(0.01, 3.0))"}

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
        emitters: int = 1,
        sigma: float = 0.2,
        optimizer: Literal["sgd", "adam"] = "sgd",
        lr: float | None = None,
        finalists: int = 8,
        worst: float | None = None,
    ):
        super().__init__(measures, ranges, cells, finalists, worst)
        check_differentiable(measures)
        emitting.check(popsize, emitters, sigma, None)
        one_of("strategy", OPTIMIZERS, optimizer=optimizer)
        positive("strategy", lr=lr)
        self.popsize, self.emitters, self.sigma = popsize, emitters, sigma
        self.optimizer = optimizer
        self.lr = lr if lr is not None else {"sgd": 1.0, "adam": 0.01}[optimizer]

    def build(self, x0: np.ndarray, floor: float | None) -> Library:
        from ribs.emitters import GradientArborescenceEmitter

        from hybridopt_pyribs.archive import Grid
        from hybridopt_pyribs.library import Library

        archive = Grid(len(x0), self.cells, list(self.bounds.values()))
        settings = {"sigma0": self.sigma, "lr": self.lr, "grad_opt": OPTIMIZERS[self.optimizer], "seed": 0}
        rules = {"batch_size": self.popsize, "selection_rule": "mu", "restart_rule": "no_improvement"}  # the paper's
        emitters = [GradientArborescenceEmitter(archive, x0=x0, **settings, **rules) for _ in range(self.emitters)]
        return Library(archive, emitters)

    def generation(self, oracle: Oracle, batch: Batch) -> Record:
        centers = self.vectors(self._library.centers())
        values, slopes = [], []
        for one in self.asked(oracle):
            losses, gradients = oracle.with_objective(one).gradients(centers, batch)
            values.append(losses.double().cpu().numpy())
            slopes.append(numbers(gradients))
            if oracle.exhausted:
                return {"loss": float(values[0].min()), **self.scores()}
        readings = np.stack(values, axis=1)
        self._library.tell_gradients(readings[:, 0], readings[:, 1:], np.stack(slopes, axis=1))
        return super().generation(oracle, batch)
