"""A network and its data without a strategy: losses and gradients as functions of one vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn.functional import cross_entropy

from hybridopt.composition.compose import compose, plain_values
from hybridopt.core.data import TensorDataModule
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.execution.parts import build_parts

CHUNK = 8e6  # numbers in the members that are evaluated at a time

Batch = tuple[Tensor, Tensor]


class Network:
    """A network with the batches of its data set, and its cross-entropy as a function of one vector.

    Args:
        overrides: of model and data set (in memory, as the built-in ones are), as a user types them.
        seed: of weights and batches.
        dtype: of weights and inputs.
    """

    def __init__(self, overrides: Sequence[str], seed: int, dtype: torch.dtype = torch.float64):
        trial, data = build_parts(plain_values(compose("strategy=adam", *overrides, f"seed={seed}")))
        data.setup("fit")
        self.dtype, self.data = dtype, cast(TensorDataModule, data)
        self._batches = iter(data.train_dataloader())
        self.module = trial.model.to(dtype).eval()
        self.layout = ParameterLayout.of(dict(self.module.named_parameters()))
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-3)

    def batch(self) -> Batch:
        """The next one of training."""
        return self._in_type(next(self._batches))

    def training(self, samples: int) -> Batch:
        """The first samples of the training set."""
        inputs, targets = self.data.sets["train"]
        return self._in_type((cast(Tensor, inputs)[:samples], targets[:samples]))

    def _in_type(self, batch: Batch) -> Batch:
        return batch[0].to(self.dtype), batch[1]

    def descend(self, steps: int) -> None:
        """So many steps of Adam, on a batch each."""
        for _ in range(steps):
            inputs, targets = self.batch()
            self.optimizer.zero_grad()
            cross_entropy(self.module(inputs), targets).backward()
            self.optimizer.step()

    @property
    def weights(self) -> Tensor:
        """(d,)."""
        return self.layout.flatten(dict(self.module.named_parameters()))

    def loss(self, batch: Batch) -> Tensor:
        """Of the weights as they are, with its graph; a scalar."""
        return cross_entropy(self.module(batch[0]), batch[1])

    def gradient(self, batch: Batch) -> Tensor:
        """(d,)."""
        parts = torch.autograd.grad(self.loss(batch), list(self.module.parameters()))
        return torch.cat([part.flatten() for part in parts])

    def outputs(self, z: Tensor, inputs: Tensor) -> Tensor:
        """Of other weights: (d,) and (B, ...) -> (B, C)."""
        return functional_call(self.module, self.layout.named(z), (inputs,))

    def losses(self, members: Tensor, batch: Batch) -> Tensor:
        """Of each member: (n, d) -> (n,)."""

        def loss(z: Tensor) -> Tensor:
            return cross_entropy(self.outputs(z, batch[0]), batch[1])

        with torch.no_grad():
            return vmap(loss, chunk_size=max(1, int(CHUNK / members.shape[1])))(members)
