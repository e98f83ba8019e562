"""The ensemble Kalman filter as an optimiser (Yegenoglu, Krajsek, Diaz Pier & Herty 2020).

https://doi.org/10.1007/978-3-030-64580-9_7. Samples are assimilated one after the other, with outputs that are computed
once for a batch. Here that happens in the space of the ensemble (Hunt, Kostelich & Szunyogh 2007,
https://doi.org/10.1016/j.physd.2006.11.008): the same numbers, with matrices of J x J instead of J x d. The paper's
comparison is with gradient descent of one epoch, from initial weights that are ten times as wide as the filter's.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Record, Strategy
from hybridopt.engine.randomness import normal
from hybridopt.toolbox.ranges import at_least, positive


class EnsembleKalmanFilter(Strategy):
    """Ensemble Kalman filter: targets are observations of the outputs, by which an ensemble of weights is corrected.

    Good for data that come once, sample by sample, and few outputs.

    The loss is not used but for reports: outputs are drawn towards one-hot targets, or towards the values of a
    regression. The mean of the ensemble is recommended.

    Args:
        ensemble: members J; memory is J times the parameters.
        gamma: the variance of an observation.
        sigma: the standard deviation of the ensemble around the start.
        repetitions: how often a batch is assimilated.

    Raises:
        ConfigError: a number is out of range.
    """

    showcase: ClassVar[tuple[str, ...]] = ("dataset.batch_size=64", "strategy.ensemble=500")
    requires: ClassVar[frozenset[str]] = frozenset({"outputs"})
    search_space: ClassVar[dict[str, str]] = {
        "gamma": "tag(log, interval(1e-3, 1.0))",
        "sigma": "tag(log, interval(0.02, 0.5))",
        "ensemble": "choice(100, 200, 500)",
        "repetitions": "choice(1, 2, 4, 8)",
    }
    members: Tensor  # (J, d)

    def __init__(self, ensemble: int = 200, gamma: float = 0.01, sigma: float = 0.03, repetitions: int = 2):
        super().__init__()
        at_least("strategy", 1, ensemble=ensemble, repetitions=repetitions)
        positive("strategy", gamma=gamma, sigma=sigma)
        self.ensemble, self.gamma, self.sigma, self.repetitions = ensemble, gamma, sigma, repetitions

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        start = oracle.start
        noise = normal((self.ensemble, len(start)), start, oracle.generator)
        self.register_buffer("members", start + self.sigma * noise)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        for _ in range(self.repetitions):
            outputs = oracle.outputs(self.members, batch)
            loss = oracle.objective.loss(outputs.mean(dim=0), batch[1])
            change = assimilation(outputs.flatten(2), observations(outputs[0], batch[1]), self.gamma)
            centred = self.members - self.members.mean(dim=0)
            self.members = self.members + change.to(centred) @ centred
            if oracle.exhausted:
                break
        return {"loss": loss}

    def recommend(self) -> Tensor:
        return self.members.mean(dim=0)


def observations(outputs: Tensor, targets: Tensor) -> Tensor:
    """What the outputs (B, C) of a network should be: one-hot classes, or the values themselves. (B, C)."""
    if targets.is_floating_point():
        return targets.reshape(len(outputs), -1)
    return F.one_hot(targets, outputs.shape[1]).to(outputs)


def assimilation(outputs: Tensor, observed: Tensor, gamma: float) -> Tensor:
    """The matrix Z (J, J) by which all samples, one after the other, move the members: U <- U + Z (U - mean U).

    A sample's gain is C_up (C_pp + gamma I)^-1, with C_up of the members as the samples before have left them.

    Args:
        outputs: (J, B, C), of members before the first sample; a member whose outputs are not finite stays where it is.
        observed: (B, C).
        gamma: the variance of an observation.
    """
    fine = torch.isfinite(outputs.flatten(1)).all(dim=1)
    outputs = torch.where(fine[:, None, None], outputs, 0.0).double()
    count = fine.sum().clamp(min=1)
    deviations = (outputs - outputs.sum(dim=0) / count) * fine[:, None, None]
    covariances = torch.einsum("jbc,jbe->bce", deviations, deviations) / count
    noise = gamma * torch.eye(outputs.shape[2], dtype=outputs.dtype, device=outputs.device)
    misfits = (observed.double() - outputs) * fine[:, None, None]
    pulls = torch.linalg.solve(covariances + noise, misfits.permute(1, 2, 0)).mT / count  # (B, J, C)
    product = torch.eye(len(outputs), dtype=outputs.dtype, device=outputs.device)
    for pull, deviation in zip(pulls, deviations.transpose(0, 1), strict=True):
        product += pull @ (deviation.T @ product)
    return product - torch.eye(len(product), dtype=product.dtype, device=product.device)
