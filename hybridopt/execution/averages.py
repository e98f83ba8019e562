"""Means of what a run reports between two marks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


class Averages:
    """Weighted means of scalars by name; they stay on their device until they are taken."""

    def __init__(self) -> None:
        self._sums: dict[str, Any] = {}
        self._weights: dict[str, float] = {}

    def add(self, values: Mapping[str, float | Tensor], weight: float = 1) -> None:
        for name, value in values.items():
            value = value.detach() if isinstance(value, Tensor) else value
            self._sums[name] = self._sums.get(name, 0.0) + (value if weight == 1 else weight * value)
            self._weights[name] = self._weights.get(name, 0) + weight

    def state_dict(self) -> dict[str, Any]:
        return {
            "sums": {name: float(total) for name, total in self._sums.items()},
            "weights": dict(self._weights),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums, self._weights = dict(state["sums"]), dict(state["weights"])

    def take(self) -> dict[str, float]:
        """The means; what comes later is averaged by itself."""
        means = {name: float(total) / self._weights[name] for name, total in self._sums.items()}
        self._sums, self._weights = {}, {}
        return means
