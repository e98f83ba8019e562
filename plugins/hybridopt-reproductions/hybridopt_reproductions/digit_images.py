"""Scikit-learn's digits as arrays, for studies that train by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn

from hybridopt import Batch, TensorDataModule, build, compose

Arrays = tuple[Tensor, Tensor]


@cache
def digits() -> Mapping[str, Arrays]:
    """Images and labels of the sets train, val and test, split as jobs on digits have them."""
    module = cast(TensorDataModule, build(compose("strategy=adam")).datamodule)
    module.setup("fit")
    module.setup("test")
    return cast(Mapping[str, Arrays], module.sets)


def shuffled(data: Arrays, size: int, generator: torch.Generator) -> Iterator[Batch]:
    """Batches without end, each sample once in an epoch."""
    while True:
        for rows in torch.randperm(len(data[1]), generator=generator).split(size):
            yield data[0][rows], data[1][rows]


def drawn(data: Arrays, size: int, generator: torch.Generator) -> Iterator[Batch]:
    """Batches without end, of samples that are drawn with replacement."""
    while True:
        rows = torch.randint(len(data[1]), (size,), generator=generator)
        yield data[0][rows], data[1][rows]


@torch.no_grad()
def accuracy(module: nn.Module, data: Arrays) -> float:
    """The share of a set that is classified rightly."""
    return float((module.eval()(data[0]).argmax(1) == data[1]).double().mean())
