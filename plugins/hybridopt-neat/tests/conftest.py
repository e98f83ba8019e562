"""Parts that the tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hybridopt_neat.evolution import Evolution
from hybridopt_neat.genome_network import genome_network
from hybridopt_neat.layout import Layout
from hybridopt_neat.neat_search import NEAT

from hybridopt import DataSpec


@pytest.fixture(scope="session")
def advance() -> Callable[..., None]:
    """Some generations more, whose losses are chance."""

    def more(evolution, generations, seed=0):
        generator = torch.Generator().manual_seed(seed)
        for _ in range(generations):
            evolution.advance(torch.rand(len(evolution.members), generator=generator).tolist())

    return more


@pytest.fixture(scope="session")
def evolve(advance: Callable[..., None]) -> Callable[..., tuple[Any, Evolution]]:
    """A model of 3 inputs and 2 outputs, and genomes for it after some generations."""

    def make(generations=0, seed=0, model=None, **settings):
        network = genome_network(DataSpec((3,), 2, "regression"), **(model or {}))
        shapes = {name: parameter.shape for name, parameter in network.named_parameters()}
        evolution = Evolution(NEAT(**settings).settings, Layout.of(shapes))
        evolution.begin(seed)
        advance(evolution, generations, seed)
        return network, evolution

    return make
