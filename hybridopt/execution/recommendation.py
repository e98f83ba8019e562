"""What a strategy recommends stands in the network while it is validated; then training has its own weights back."""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor

from hybridopt.core.oracle import Oracle


class Recommendation:
    """Puts a recommendation into a network, and takes it out again.

    Args:
        oracle: of the network.
    """

    def __init__(self, oracle: Oracle):
        self.oracle = oracle
        self._stack = ExitStack()
        self._training: dict[str, Tensor] = {}

    def put(self, z: Tensor | None) -> None:
        """Let the network be what z (d,) stands for; None leaves it as it is."""
        self._training = {name: value.data for name, value in self.oracle.parameters().items()}
        self._stack.enter_context(self.oracle.standing_in(z))

    def take(self) -> None:
        """Let the network be as it was."""
        self._stack.close()
        self._training = {}

    def training_weights(self) -> dict[str, Tensor]:
        """The parameters that training goes on with, where those of the network are others now."""
        own = self.oracle.parameters()
        changed = {id(own[name]): data for name, data in self._training.items() if not torch.equal(data, own[name])}
        named = self.oracle.model.named_parameters(remove_duplicate=False)  # a tied one is saved under all its names
        return {name: changed[id(value)] for name, value in named if id(value) in changed}
