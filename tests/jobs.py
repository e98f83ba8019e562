"""A small job that every strategy can do, and how long a program may take."""

from __future__ import annotations

from hybridopt.composition import registry

SMALL = ("dataset=iris", "dataset.batch_size=16", "model.hidden=[4]", "tracking=none", "budget.marks=5")
FORWARDS = 40_000  # of the small problem: 2500 losses, or 833 gradients
LIMIT = 3600.0  # seconds after which a program hangs; a sound one may take minutes where others use the machine


def strategy_overrides(name: str) -> list[str]:
    """How a strategy is chosen; where it wants phases and has none, it gets a search and a gradient method."""
    overrides = [f"strategy={name}"]
    for parameter in registry.find("strategy", name).describe().parameters:
        if parameter.nested == "strategy" and parameter.many:
            group = f"+strategy/{parameter.name}@strategy.{parameter.name}"
            overrides += [f"{group}.first=openai_es", f"{group}.second=adam"]
    return [*overrides, '+strategy.patterns.first="*bias"'] if name == "split" else overrides
