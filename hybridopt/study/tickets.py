"""Small networks that are trained in full batches, pruned, and begun again: what the cells of studies compute.

Iterative magnitude pruning: Frankle & Carbin 2019, https://arxiv.org/abs/1803.03635.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

RATE = 1e-2  # of Adam


@dataclass(frozen=True)
class Data:
    """What a network learns from, and by which it is judged.

    Args:
        inputs, targets: of training, (N, features) and (N,).
        test_inputs, test_targets: of the test, (M, features) and (M,).
    """

    inputs: Tensor
    targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor

    def error(self, outputs: Tensor) -> float:
        """The share of the test's samples that outputs (M, classes) put into the wrong class."""
        return float((outputs.argmax(1) != self.test_targets).double().mean())


class Network:
    """A network with one hidden layer of ReLU, what it began with, and which of its weights are left.

    Args:
        data: it learns from.
        width: hidden units.
        classes: outputs.
        seed: of its weights.
    """

    def __init__(self, data: Data, width: int, classes: int, seed: int):
        self.data, self.generator = data, torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = nn.Sequential(nn.Linear(data.inputs.shape[1], width), nn.ReLU(), nn.Linear(width, classes))
        self.first = [value.detach().clone() for value in self.module.parameters()]
        self.mask = [torch.ones_like(value) for value in self.first]

    @property
    def size(self) -> int:
        """How many weights it has; biases do not count."""
        return sum(value.numel() for value in self.first if value.ndim > 1)

    def begin(self, weights: Sequence[Tensor]) -> None:
        """Begin at these weights, as far as they are left."""
        with torch.no_grad():
            for here, value, kept in zip(self.module.parameters(), weights, self.mask, strict=True):
                here.copy_(value * kept)

    def trained(self, steps: int, decay: float = 0.0) -> float:
        """The test error after so many steps of Adam on all samples.

        Args:
            steps: of training, from where the weights are.
            decay: of the weights, by their L2 penalty.
        """
        own = list(self.module.parameters())
        optimizer = torch.optim.Adam(own, lr=RATE, weight_decay=decay, fused=True)
        sparse = any(not kept.all() for kept in self.mask)
        for _ in range(steps):
            optimizer.zero_grad()
            cross_entropy(self.module(self.data.inputs), self.data.targets).backward()
            optimizer.step()
            if sparse:
                self.begin(own)
        with torch.no_grad():
            return self.data.error(self.module(self.data.test_inputs))

    def prune(self, keep: int) -> None:
        """Leave so many of the weights that are left, the largest; biases stay."""
        sizes = [value.numel() for value in self.first]
        parts = zip(self.module.parameters(), self.mask, strict=True)
        scores = [(value.detach().abs() * kept if value.ndim > 1 else -torch.ones_like(value)) for value, kept in parts]
        chosen = torch.zeros(sum(sizes))
        chosen[torch.cat([score.flatten() for score in scores]).topk(keep).indices] = 1
        masks = [part.view_as(value) for part, value in zip(chosen.split(sizes), self.first, strict=True)]
        self.mask = [m if m.ndim > 1 else torch.ones_like(m) for m in masks]

    def ticket(self, keep: int, steps: int) -> float:
        """The test error of its ticket: half of the weights a round, rewound and trained again, until so many are left.

        The network must have been trained, and have more weights than that.
        """
        left, error = self.size, 1.0
        while left > keep:
            left = max(keep, left // 2)
            self.prune(left)
            self.begin(self.first)
            error = self.trained(steps)
        return error

    def redrawn(self, steps: int) -> float:
        """The test error of the same mask when each layer's first weights are shuffled, and trained."""
        order = [torch.randperm(value.numel(), generator=self.generator) for value in self.first]
        self.begin([value.flatten()[i].view_as(value) for value, i in zip(self.first, order, strict=True)])
        return self.trained(steps)
