"""Where a module is and how, while somebody runs it: put in place, and put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

NOTHING = nullcontext()  # made once
_recording = False


@contextmanager
def recording() -> Iterator[None]:
    """Inside, what is run is recorded: :func:`is_recording`."""
    global _recording
    _recording = True
    try:
        yield
    finally:
        _recording = False


def is_recording() -> bool:
    """Whether each value must come from an operation, and none by way of another tensor's memory."""
    return _recording


@contextmanager
def casts_not_remembered() -> Iterator[None]:
    """Inside, autocast casts weights at each use: its cache goes by the tensor, whatever has been written into it."""
    remembered = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(remembered)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside, no parameter of the module itself wants a gradient: a graph keeps nothing for those that do not move."""
    wanting = [value for value in module.parameters() if value.requires_grad]
    for value in wanting:
        value.requires_grad_(False)
    try:
        yield
    finally:
        for value in wanting:
            value.requires_grad_(True)


@contextmanager
def isolated_rng() -> Iterator[None]:
    """Leave torch's global generators as they were."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        yield


def parts_of(module: nn.Module) -> list[nn.Module]:
    """The module and all inside, each once; ``modules()`` takes several times longer."""
    parts, seen = [module], {module}
    for part in parts:  # which grows meanwhile
        for child in part._modules.values():
            if child is not None and child not in seen:
                seen.add(child)
                parts.append(child)
    return parts


@cache
def has_own_modes(kind: type[nn.Module]) -> bool:
    """Whether a class does something else than torch's when it is told whether it is trained or evaluated."""
    return kind.train is not nn.Module.train or kind.eval is not nn.Module.eval


class Attributes:
    """Every attribute and buffer of some modules as they are now, to be put back later.

    Args:
        parts: the modules.
    """

    def __init__(self, parts: list[nn.Module]):
        self._dictionaries: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for part in parts:
            own = part.__dict__
            buffers = own["_buffers"]
            self._dictionaries += (own, own.copy()), (buffers, buffers.copy())

    def put_back(self) -> None:
        for now, former in self._dictionaries:
            now.clear()
            now.update(former)


def set_modes(parts: list[nn.Module], dropout: bool = False, batch_statistics: bool = False) -> None:
    """Evaluation mode for a module and all inside.

    Args:
        parts: the module first.
        dropout: leave dropout on, each member with draws of its own.
        batch_statistics: normalise by the batch's own mean and variance, not by the running ones.
    """
    if any(map(has_own_modes, {*map(type, parts)})):
        parts[0].eval()
    for part in parts:
        on = (dropout and isinstance(part, _DropoutNd)) or (batch_statistics and isinstance(part, _NormBase))
        part.__dict__["training"] = on  # torch's own way there looks for a parameter of that name first


@contextmanager
def evaluating(module: nn.Module, dropout: bool = False, batch_statistics: bool = False) -> Iterator[None]:
    """Evaluation mode inside; afterwards every attribute of every submodule is again what it was; no graph is built.

    Args:
        module: the network.
        dropout, batch_statistics: as above.
    """
    parts = parts_of(module)
    attributes = Attributes(parts)
    try:
        set_modes(parts, dropout, batch_statistics)
        with torch.no_grad():
            yield
    finally:
        attributes.put_back()
