"""Modules by names that a user chooses."""

from __future__ import annotations

from torch import nn


class NamedModules(nn.ModuleDict):
    """A ``ModuleDict`` that takes any name, also those of its own methods, such as half or items."""

    def add_module(self, name: str, module: nn.Module | None) -> None:
        self._modules[name] = module  # pyright: ignore[reportArgumentType]
