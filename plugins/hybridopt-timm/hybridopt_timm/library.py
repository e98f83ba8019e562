"""The library ``timm``, also where torchvision is not installed.

timm imports torchvision for its data pipelines and for one layer of detectors, which no network of image classification
uses. Wheels of torchvision do not load into each build of torch (the usual ones ask for CUDA), so that there are good
installations without it. In these, names stand for what is missing while timm is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from torch import nn

from hybridopt import ConfigError

MISSING = ("", ".ops", ".ops.misc", ".transforms", ".transforms.functional", ".datasets", ".models",
           ".models.feature_extraction")  # fmt: skip


@cache
def library() -> Any:
    """The module ``timm``.

    Raises:
        ConfigError: it is not installed.
    """
    if find_spec("timm") is None:
        raise ConfigError(
            "model=timm needs the timm library: type pip install timm, or pip install --no-deps timm where torchvision "
            "does not go with your build of torch."
        )
    with standing_in():
        import timm
    return timm


@contextmanager
def standing_in() -> Iterator[None]:
    """Inside, ``import torchvision`` succeeds; afterwards all is as it was."""
    if find_spec("torchvision") is not None:
        yield
        return
    made = {f"torchvision{name}": Nominal(f"torchvision{name}") for name in MISSING}
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in made:
            sys.modules.pop(name, None)


class Nominal(ModuleType):
    """A module in which each name is a layer that nothing is an instance of."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return sys.modules.get(f"{self.__name__}.{name}") or _Named(name, (nn.Module,), {})


class _Named(type):
    """A class whose attributes are their own names, as members of an enumeration would be."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return name
