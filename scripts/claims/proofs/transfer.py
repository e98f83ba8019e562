"""Networks that Adam has trained on scikit-learn's digits, and are to be fine-tuned on dimmed or on blurred ones.

Dimmed are images of half the contrast; blurred is the mean of an image and the same a pixel further down and right.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from hybridopt import Budget, Objective, Oracle
from hybridopt.composition import building
from hybridopt.core.ledger import Ledger
from hybridopt.engine import trees
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.testing.by_hand import begin, deploy

Batch = tuple[Any, Tensor]
Build = Callable[[], nn.Module]


class PatchTransformer(nn.Module):
    """Images (B, 64) as sixteen patches, of which a mask leaves some out; two layers of width 32."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Linear(4, 32), nn.Parameter(0.1 * torch.randn(16, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 10)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        patches = inputs["image"].view(-1, 4, 2, 4, 2).transpose(2, 3).reshape(-1, 16, 4)
        hidden = self.blocks(self.embed(patches) + self.place, src_key_padding_mask=inputs["padding"])
        seen = (~inputs["padding"]).unsqueeze(2).to(hidden)
        return self.head((hidden * seen).sum(1) / seen.sum(1))


def perceptron() -> nn.Module:
    """The network 64-128-10."""
    return nn.Sequential(nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 10))


@cache
def digits(change: str, patches: bool) -> tuple[Batch, dict[str, Batch]]:
    """Digits to train on, and changed ones by the name of the set.

    Args:
        change: "dimmed" or "blurred".
        patches: whether inputs are dictionaries with a mask, which hides a tenth of the patches.
    """
    data = building.build("dataset", {"name": "digits"})
    generator = torch.Generator().manual_seed(0)

    def masked(batch: Batch) -> Batch:
        hidden = torch.rand(len(batch[1]), 16, generator=generator) < 0.1
        images = batch[0].flatten(1)
        return ({"image": images, "padding": hidden} if patches else images), batch[1]

    def changed(batch: Batch) -> Batch:
        images = batch[0].view(-1, 8, 8)
        others = images.roll((1, 1), (1, 2)) if change == "blurred" else torch.zeros_like(images)
        return (0.5 * (images + others)).reshape(-1, 64), batch[1]

    return masked(data.sets["train"]), {name: masked(changed(batch)) for name, batch in data.sets.items()}


@cache
def pretrained(build: Build, seed: int) -> nn.Module:
    """A network after two thousand steps of Adam on digits."""
    torch.manual_seed(seed)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for inputs, targets in stream(digits("dimmed", build is PatchTransformer)[0], 64, seed, 2000):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    return model


def stream(data: Batch, size: int, seed: int, batches: int = 10**9) -> Iterator[Batch]:
    """Random batches."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(batches):
        rows = torch.randint(len(data[1]), (size,), generator=generator)
        yield trees.rows(data, rows)


def tuned(
    model: nn.Module,
    settings: Mapping[str, Any],
    batches: Iterator[Batch],
    forwards: float,
    seed: int,
    objective: Objective | None = None,
) -> int:
    """Train a network in place by a strategy; the forwards that it took."""
    account, generator = Ledger(Budget(forwards=forwards)), torch.Generator().manual_seed(seed)
    oracle = Oracle(model, objective or CrossEntropy(), account, generator)
    strategy = begin(building.build("strategy", dict(settings)), oracle, next(batches))
    while not oracle.exhausted:
        strategy.step(oracle, next(batches))
    deploy(strategy, oracle)
    return oracle.ledger.forwards


def fine_tuned(
    build: Build, change: str, settings: Mapping[str, Any], size: int, forwards: float, seed: int
) -> nn.Module:
    """A pretrained network, tuned to changed digits on batches of this size."""
    model, data = copy.deepcopy(pretrained(build, seed)), digits(change, build is PatchTransformer)[1]
    tuned(model, settings, stream(data["train"], size, seed), forwards, seed)
    return model


@torch.no_grad()
def loss(model: nn.Module, batch: Batch) -> float:
    """Mean cross-entropy on a set."""
    return float(nn.functional.cross_entropy(model.eval()(batch[0]), batch[1]))


@torch.no_grad()
def accuracy(model: nn.Module, batch: Batch) -> float:
    """Share of a set that is classified rightly."""
    return float((model.eval()(batch[0]).argmax(1) == batch[1]).float().mean())
