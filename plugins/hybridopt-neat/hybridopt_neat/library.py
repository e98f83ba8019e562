"""neat-python's classes with what they lack: bounds on growth, exact counts, and random numbers of one's own."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from neat.genome import DefaultGenome
from neat.reproduction import DefaultReproduction
from neat.species import DefaultSpeciesSet, Species
from neat.stagnation import DefaultStagnation

from hybridopt_neat.layout import Layout

STAGNATION = ("species_fitness_func", "max_stagnation", "species_elitism")
REPRODUCTION = ("elitism", "survival_threshold", "min_species_size")
SPECIATION = ("compatibility_threshold",)
OWN = ("popsize", "connection_fraction")  # neat-python has them in other places


class BoundedGenome(DefaultGenome):
    """A genome that grows no more hidden nodes than the model has room for.

    A child has no node that its fitter parent has not, so that mutation is the only way to grow.
    """

    def mutate_add_node(self, config: Any) -> None:
        if len(self.nodes) - config.num_outputs < config.max_hidden:
            super().mutate_add_node(config)
        else:
            config.declined += 1


class BoundedStagnation(DefaultStagnation):
    """Of more species than the population can feed, the least fit end as if they stagnated; neat-python would raise."""

    most_species: int

    def update(self, species_set: DefaultSpeciesSet, generation: int) -> list[tuple[int, Species, bool]]:
        judged = super().update(species_set, generation)  # the least fit first
        surplus = sum(not stagnant for _, _, stagnant in judged) - self.most_species
        bounded = []
        for key, species, stagnant in judged:
            ends = not stagnant and surplus > 0
            surplus -= ends
            bounded.append((key, species, stagnant or ends))
        return bounded


class ExactReproduction(DefaultReproduction):
    """Offspring as neat-python counts them, also where it raises: it takes what is too much in one round only."""

    @staticmethod
    def compute_spawn(
        adjusted_fitness: Sequence[float], previous_sizes: Sequence[int], pop_size: int, min_species_size: int
    ) -> list[int]:
        spawn = DefaultReproduction.compute_spawn(adjusted_fitness, previous_sizes, pop_size, min_species_size)
        surplus = sum(spawn) - pop_size
        largest_first = sorted(range(len(spawn)), key=spawn.__getitem__, reverse=True)
        while surplus > 0:
            for i in largest_first:
                if surplus > 0 and spawn[i] > min_species_size:
                    spawn[i] -= 1
                    surplus -= 1
        return spawn


class Counter:
    """``itertools.count`` that can be read without counting on."""

    def __init__(self, value: int):
        self.value = value

    def __next__(self) -> int:
        self.value += 1
        return self.value - 1


# -- settings ---------------------------------------------------------------------------------------------------------


def chosen(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Some of the settings, as neat-python reads them from its files."""
    return {name: "default" if settings[name] is None else str(settings[name]) for name in names}


def genome_config(settings: Mapping[str, Any], layout: Layout) -> Any:
    """neat-python's config of a genome, with the bound on its growth."""
    others = (*STAGNATION, *REPRODUCTION, *SPECIATION, *OWN)
    values = chosen(settings, [name for name in settings if name not in others])
    if "partial" in settings["initial_connection"]:
        values["initial_connection"] += f" {settings['connection_fraction']}"
    values |= {
        "num_inputs": str(layout.inputs),
        "num_outputs": str(layout.outputs),
        "feed_forward": "true",
        # Where the model has one function, only the model knows which: the genomes have one, too, of any name.
        "activation_options": " ".join(layout.activations or ["sigmoid"]),
        "aggregation_default": "sum",
        "aggregation_options": "sum",
        "aggregation_mutate_rate": "0",
    }
    config = BoundedGenome.parse_config(values)
    config.max_hidden, config.declined = layout.hidden, 0
    return config


# -- randomness -------------------------------------------------------------------------------------------------------


@contextmanager
def drawing_from(generator: random.Random) -> Iterator[None]:
    """Inside, neat-python draws from this generator, and not from Python's global one.

    What its modules have imported is exchanged, not the global generator's state: threads in the background, such as
    those of a tracking client, may draw from that at any time.
    """
    shared = random.random.__self__
    exchanged = []
    for module in [module for name, module in sys.modules.items() if name.split(".")[0] == "neat"]:
        for name, value in list(vars(module).items()):
            if value is random or getattr(value, "__self__", None) is shared:
                exchanged.append((module, name, value))
                setattr(module, name, generator if value is random else getattr(generator, value.__name__))
    try:
        yield
    finally:
        for module, name, value in exchanged:
            setattr(module, name, value)
