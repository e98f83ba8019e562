"""Running statistics of batch normalisation: whose they are, and how a network gets those that fit its weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from hybridopt.engine import trees
from hybridopt.engine.modes import evaluating
from hybridopt.engine.trees import Inputs


def normalising(module: nn.Module) -> dict[str, _NormBase]:
    """The layers that keep running statistics, by name."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, _NormBase) and layer.running_mean is not None
    }


def unlearned(module: nn.Module) -> list[str]:
    """The layers whose running statistics are still those that every network begins with: mean 0, variance 1."""
    return [
        name
        for name, layer in normalising(module).items()
        if not (layer.running_mean.any() or (layer.running_var != 1).any())  # pyright: ignore
    ]


def statistics(module: nn.Module) -> dict[str, Tensor]:
    """The buffers of those layers by their names in the network: the tensors themselves, not copies."""
    return {
        f"{name}.{key}" if name else key: buffer
        for name, layer in normalising(module).items()
        for key, buffer in layer.named_buffers(recurse=False)
    }


def calibrate(module: nn.Module, batches: Iterable[Inputs]) -> None:
    """Replace running statistics by the mean of those of some batches, of the network as it is.

    Weights that were averaged, or found by a search that normalises by each batch, have no running statistics of their
    own (Izmailov et al. 2018, section 3.2, https://arxiv.org/abs/1803.05407, of averaged weights).

    Args:
        module: the network; dropout is off while it runs.
        batches: inputs, each (B, ...), on the device of the network.
    """
    with evaluating(module, batch_statistics=True):  # which gives each layer its momentum back
        for layer in normalising(module).values():
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean over the batches
        for inputs in batches:
            if trees.samples(inputs) > 1:  # one sample has no variance
                module(inputs)


@contextmanager
def by_running_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, batch normalisation uses its running statistics: of one sample there are no others."""
    changed = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.training]
    for layer in changed:
        layer.training = False
    try:
        yield
    finally:
        for layer in changed:
            layer.training = True


def copied(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same buffers as copies."""
    return {name: value.clone() for name, value in values.items()}


def put(into: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    """Write values into the buffers of the same names."""
    with torch.no_grad():
        for name, value in values.items():
            into[name].copy_(value)
