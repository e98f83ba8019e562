"""Networks that Adam has trained on scikit-learn's digits, and that are to be fine-tuned on changed ones.

Dimmed are images of half the contrast; blurred is the mean of an image and the same a pixel further down and right.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hybridopt.study.training import train
from hybridopt_reproductions.digit_images import digits

Inputs = Tensor | dict[str, Tensor]
Labelled = tuple[Any, Tensor]
Build = Callable[[], nn.Module]
STEPS, SIZE, RATE = 2000, 64, 3e-3  # of Adam, before


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
def changed(change: str, patches: bool) -> tuple[Labelled, Mapping[str, Labelled]]:
    """Digits to train on first, and changed ones by the name of the set.

    Args:
        change: "dimmed" or "blurred".
        patches: whether inputs are dictionaries with a mask, which hides a tenth of the patches.
    """
    generator = torch.Generator().manual_seed(0)

    def masked(images: Tensor, labels: Tensor) -> Labelled:
        hidden = torch.rand(len(labels), 16, generator=generator) < 0.1
        return ({"image": images, "padding": hidden} if patches else images), labels

    def altered(images: Tensor) -> Tensor:
        images = images.view(-1, 8, 8)
        others = images.roll((1, 1), (1, 2)) if change == "blurred" else torch.zeros_like(images)
        return (0.5 * (images + others)).reshape(-1, 64)

    first = masked(digits()["train"][0].flatten(1), digits()["train"][1])
    return first, {name: masked(altered(images), labels) for name, (images, labels) in digits().items()}


@cache
def pretrained(build: Build, seed: int, steps: int = STEPS) -> nn.Module:
    """A network after so many steps of Adam on digits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build()
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE)
    batches = stream(changed("dimmed", build is PatchTransformer)[0], SIZE, seed)
    for _, (inputs, targets) in zip(range(steps), batches, strict=False):
        optimizer.zero_grad()
        cross_entropy(module(inputs), targets).backward()
        optimizer.step()
    return module


def stream(data: Labelled, size: int, seed: int) -> Iterator[Labelled]:
    """Batches without end, of samples that are drawn with replacement."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        rows = torch.randint(len(data[1]), (size,), generator=generator)
        yield taken(data[0], rows), data[1][rows]


def taken(inputs: Inputs, rows: Tensor) -> Inputs:
    """Some of the samples."""
    return {key: value[rows] for key, value in inputs.items()} if isinstance(inputs, dict) else inputs[rows]


def fine_tuned(
    build: Build, change: str, settings: Mapping[str, Any], size: int, forwards: float, seed: int, steps: int = STEPS
) -> nn.Module:
    """A pretrained network, tuned to changed digits.

    Args:
        build: makes the network.
        change: of the digits.
        settings: the strategy's.
        size: of its batches.
        forwards: its budget.
        seed: of weights, batches and draws.
        steps: of Adam, before.
    """
    module, data = copy.deepcopy(pretrained(build, seed, steps)), changed(change, build is PatchTransformer)[1]
    train(settings, module, "cross_entropy", stream(data["train"], size, seed), seed, forwards)
    return module


@torch.no_grad()
def loss(module: nn.Module, data: Labelled) -> float:
    """Mean cross-entropy on a set."""
    return float(cross_entropy(module.eval()(data[0]), data[1]))


@torch.no_grad()
def accuracy(module: nn.Module, data: Labelled) -> float:
    """The share of a set that is classified rightly."""
    return float((module.eval()(data[0]).argmax(1) == data[1]).double().mean())
