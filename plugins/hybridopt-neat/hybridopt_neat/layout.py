"""From the networks that genomes express to the parameters of the model ``genome_network``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from hybridopt import ConfigError

GATE = "gates."
PARAMETERS = ("input.weight", "input.bias", "hidden")


@dataclass(frozen=True)
class Phenotype:
    """What a genome expresses.

    Args:
        nodes: neat-python's node genes, the hidden ones in an order in which they can be evaluated, then the outputs.
        links: its connection genes between inputs and these nodes.
    """

    nodes: Sequence[Any]
    links: Sequence[Any]

    def hidden(self, outputs: int) -> int:
        """The number of hidden nodes."""
        return len(self.nodes) - outputs

    def arrows(self, outputs: int) -> str:
        """The topology in a line: inputs are x0, x1, …, hidden nodes h and their key, outputs y0, y1, …"""

        def name(key: int) -> str:
            return f"x{-key - 1}" if key < 0 else f"y{key}" if key < outputs else f"h{key}"

        arrows = (f"{name(source)}>{name(target)}" for source, target in sorted(gene.key for gene in self.links))
        return " ".join(arrows) or "no connection"


@dataclass(frozen=True)
class Layout:
    """Where the model has its parameters, read from their names and shapes.

    Args:
        offsets: where each parameter begins in a search vector.
        dimension: the length d of a search vector.
        inputs: the number of inputs.
        hidden: the number of hidden nodes that there is room for.
        outputs: the number of outputs.
        activations: the functions that nodes choose among; empty where there is one.
        gated: how many nodes choose; the outputs may have a function of their own.
    """

    offsets: Mapping[str, int]
    dimension: int
    inputs: int
    hidden: int
    outputs: int
    activations: tuple[str, ...]
    gated: int

    @classmethod
    def of(cls, shapes: Mapping[str, torch.Size]) -> Layout:
        """The layout of a model's parameters.

        Raises:
            ConfigError: it is another model.
        """
        others = [name for name in shapes if name not in PARAMETERS and not name.startswith(GATE)]
        if others or not set(PARAMETERS) <= shapes.keys():
            raise ConfigError(
                "strategy=neat evolves the topology and needs the model that any topology fits into, but this one has "
                f"the parameters {', '.join(list(shapes)[:3])}, …: type model=genome_network."
            )
        ends = list(accumulate(shape.numel() for shape in shapes.values()))
        nodes, hidden = shapes["hidden"]
        gates = {name.removeprefix(GATE): shape.numel() for name, shape in shapes.items() if name.startswith(GATE)}
        return cls(
            offsets=dict(zip(shapes, [0, *ends], strict=False)),
            dimension=ends[-1],
            inputs=shapes["input.weight"][1],
            hidden=hidden,
            outputs=nodes - hidden,
            activations=tuple(gates),
            gated=next(iter(gates.values()), 0),
        )

    def vectors(self, networks: Sequence[Phenotype]) -> Tensor:
        """Networks as parameters: (n, d), float64 as neat-python computes; what a network has not is zero."""
        entries = [
            (row * self.dimension + place, value)
            for row, network in enumerate(networks)
            for place, value in self._entries(network).items()
        ]
        places, values = zip(*entries, strict=True)
        flat = torch.zeros(len(networks) * self.dimension, dtype=torch.float64)
        flat[torch.tensor(places)] = torch.tensor(values, dtype=flat.dtype)
        return flat.view(len(networks), self.dimension)

    def _entries(self, network: Phenotype) -> dict[int, float]:
        """Place in the vector -> value."""
        hidden, entries = network.hidden(self.outputs), {}
        slots = [*range(hidden), *range(self.hidden, self.hidden + self.outputs)]
        slot_of = {gene.key: slot for gene, slot in zip(network.nodes, slots, strict=True)}
        responses = {gene.key: gene.response for gene in network.nodes}
        for gene in network.nodes:
            slot = slot_of[gene.key]
            entries[self.offsets["input.bias"] + slot] = gene.bias
            if self.activations and slot < self.gated:
                entries[self.offsets[GATE + gene.activation] + slot] = 1.0
        for gene in network.links:
            source, target = gene.key
            entries[self._place(source, slot_of, slot_of[target])] = responses[target] * gene.weight
        return entries

    def _place(self, source: int, slot_of: Mapping[int, int], slot: int) -> int:
        if source < 0:  # neat-python's keys of inputs are -1, -2, …
            return self.offsets["input.weight"] + slot * self.inputs - source - 1
        return self.offsets["hidden"] + slot * self.hidden + slot_of[source]
