"""What a strategy recommends stands in the network while it is validated; then training has its own weights back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from hybridopt.core.ledger import FORWARD
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Strategy
from hybridopt.engine import normalisation, trees
from hybridopt.engine.trees import Inputs

log = logging.getLogger(__name__)


class Recommendation:
    """Puts a recommendation into a network, and takes it out again.

    Batch normalisation must fit what stands there. Where populations are normalised by each batch's own statistics, or
    a recommendation is a mean of networks, running statistics are estimated for it on training batches, and charged.

    Args:
        oracle: of the network.
        strategy: that recommends.
        batch_statistics: whether populations are normalised by each batch's own statistics.
        calibration: inputs of some training batches; none where the network keeps no statistics.
    """

    def __init__(self, oracle: Oracle, strategy: Strategy, batch_statistics: bool, calibration: Sequence[Inputs]):
        self.oracle, self.calibration = oracle, calibration
        self._own = normalisation.statistics(oracle.model)
        averages = any(isinstance(part, Strategy) and part.recommends_mean for part in strategy.modules())
        self._always, self._averaged = batch_statistics, averages
        self._stack = ExitStack()
        self._training: dict[str, Tensor] = {}
        self._estimated: tuple[int, dict[str, Tensor]] | None = None  # forwards spent then, and the statistics
        self._warned = False

    def put(self, z: Tensor | None) -> None:
        """Let the network be what z (d,) stands for; None leaves it as it is."""
        statistics = normalisation.copied(self._own)
        self._training = {name: value.data for name, value in self.oracle.parameters().items()} | statistics
        self._stack.enter_context(self.oracle.standing_in(z))
        self._stack.callback(normalisation.put, self._own, statistics)
        if z is not None:
            self._fit_statistics()
        self._warn()

    def take(self) -> None:
        """Let the network be as it was."""
        self._stack.close()
        self._training = {}

    def stay(self, z: Tensor | None) -> None:
        """Make the network what z (d,) stands for, for good."""
        if z is not None:
            self.oracle.assign(z)
            self._fit_statistics()

    def training_weights(self) -> dict[str, Tensor]:
        """The parameters and statistics that training goes on with, where those of the network are others now."""
        own = self.oracle.parameters() | self._own
        changed = {id(own[name]): data for name, data in self._training.items() if not torch.equal(data, own[name])}
        model = self.oracle.model  # a tied one is saved under all its names
        named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
        return {name: changed[id(value)] for name, value in named if id(value) in changed}

    def resume(self, network: Mapping[str, Tensor], forwards: int) -> None:
        """Take the statistics of the network that was recommended when so many forwards were spent."""
        self._estimated = forwards, {name: network[f"model.{name}"] for name in self._own}

    def _fit_statistics(self) -> None:
        """Estimate running statistics for the network as it stands, once for each."""
        if not (self._always or (self._averaged and not normalisation.unlearned(self.oracle.model))):
            return
        ledger = self.oracle.ledger
        if self._estimated is not None and self._estimated[0] == ledger.forwards:
            normalisation.put(self._own, self._estimated[1])
            return
        if self._own and self.calibration:
            normalisation.calibrate(self.oracle.model, self.calibration)
            ledger.charge(FORWARD * sum(map(trees.samples, self.calibration)))
            self._estimated = ledger.forwards, normalisation.copied(self._own)

    def _warn(self) -> None:
        layers = normalisation.unlearned(self.oracle.model)
        if layers and not self._warned:
            log.warning(
                "Nobody learns the running statistics of %s, by which the network is validated and tested: add "
                "oracle.batch_statistics=true, by which they are estimated for what is recommended, or take a model "
                "without batch normalisation.",
                ", ".join(layers),
            )
        self._warned = True
