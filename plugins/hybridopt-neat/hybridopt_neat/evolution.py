"""neat-python, one generation at a time: without its files, its pickles, and Python's global random numbers."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from neat.reporting import ReporterSet
from neat.species import DefaultSpeciesSet, Species

from hybridopt.toolbox.fitness import FAILURE, bounded
from hybridopt_neat.layout import Layout, Phenotype
from hybridopt_neat.library import (
    REPRODUCTION,
    SPECIATION,
    STAGNATION,
    BoundedGenome,
    BoundedStagnation,
    Counter,
    ExactReproduction,
    chosen,
    drawing_from,
    genome_config,
)


class Evolution:
    """A population of genomes, its species, and the best genome.

    Attributes:
        champion: the genome that was best on the last batch; None before there was one. It is evaluated with every
            generation, whether it is still a member of it or not.
        generation: how many generations were told.
        extinctions: how often no species was left, and a new population was made.

    Args:
        settings: neat-python's, by its names; ``popsize`` and ``connection_fraction`` besides.
        layout: where the model has its parameters.

    Raises:
        RuntimeError: neat-python refuses a setting.
    """

    def __init__(self, settings: Mapping[str, Any], layout: Layout):
        self.settings, self.layout = dict(settings), layout
        self.config = SimpleNamespace(genome_type=BoundedGenome, genome_config=genome_config(settings, layout))
        reporters = ReporterSet()
        stagnation = BoundedStagnation(BoundedStagnation.parse_config(chosen(settings, STAGNATION)), reporters)
        smallest = max(settings["min_species_size"], settings["elitism"])
        stagnation.most_species = settings["popsize"] // smallest
        self.reproduction = ExactReproduction(
            ExactReproduction.parse_config(chosen(settings, REPRODUCTION)), reporters, stagnation
        )
        self.species = DefaultSpeciesSet(DefaultSpeciesSet.parse_config(chosen(settings, SPECIATION)), reporters)
        self.population: dict[int, BoundedGenome] = {}
        self.champion: BoundedGenome | None = None
        self.generation = self.extinctions = 0
        self.random = random.Random(0)
        self._count_from(genome=1, species=1, node=layout.outputs, innovation=0)

    def _count_from(self, genome: int, species: int, node: int, innovation: int) -> None:
        self.reproduction.genome_indexer = Counter(genome)
        self.species.indexer = Counter(species)
        self.config.genome_config.node_indexer = Counter(node)
        self.reproduction.innovation_tracker.global_counter = innovation

    # -- ask and tell -------------------------------------------------------------------------------------------------

    def begin(self, seed: int) -> None:
        """Make the first population."""
        self.random.seed(seed)
        with drawing_from(self.random):
            self._populate()
            self.species.speciate(self.config, self.population, self.generation)

    def _populate(self) -> None:
        self.population = self.reproduction.create_new(
            BoundedGenome, self.config.genome_config, self.settings["popsize"]
        )

    @property
    def members(self) -> dict[int, BoundedGenome]:
        """The genomes to evaluate by key: the population, and the champion where it is no member of that."""
        return self.population | ({self.champion.key: self.champion} if self.champion else {})

    def advance(self, losses: Sequence[float]) -> None:
        """The next generation.

        Args:
            losses: of ``members``, in their order; +inf is a failure.
        """
        members = self.members
        self._choose_champion(dict(zip(members, losses, strict=True)))
        told = bounded(torch.tensor(losses, dtype=torch.float64), FAILURE)  # neat-python computes means of them
        for genome, loss in zip(members.values(), told.tolist(), strict=True):
            genome.fitness = -loss
        with drawing_from(self.random):
            self.population = self.reproduction.reproduce(
                self.config, self.species, self.settings["popsize"], self.generation
            )
            if not self.species.species:
                self.extinctions += 1
                self._populate()
            self.species.speciate(self.config, self.population, self.generation)
        self.generation += 1
        self.reproduction.ancestors.clear()  # a pedigree that nobody reads, and that grows without end

    def _choose_champion(self, losses: Mapping[int, float]) -> None:
        """Who beats the champion on this batch takes its place; a tie does not."""
        best = min(losses, key=losses.__getitem__)
        if self.champion is None or losses[best] < losses[self.champion.key]:
            self.champion = self.population[best]

    def phenotype(self, genome: BoundedGenome) -> Phenotype:
        """The network that a genome expresses: its enabled connections, and the nodes that the outputs depend on."""
        outputs = self.config.genome_config.output_keys
        enabled = {key: gene for key, gene in genome.connections.items() if gene.enabled}
        order = evaluation_order(outputs, enabled)
        hidden = [node for node in order if node not in outputs]
        return Phenotype(
            nodes=[genome.nodes[key] for key in (*hidden, *outputs)],
            links=[gene for (_, target), gene in enabled.items() if target in order],
        )

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """All that the next generations depend on, as tensors and plain values."""
        version, numbers, gauss = self.random.getstate()
        return {
            "random": {"version": version, "numbers": torch.tensor(numbers), "gauss": gauss},
            "counters": {
                "genome": self.reproduction.genome_indexer.value,
                "species": self.species.indexer.value,
                "node": self.config.genome_config.node_indexer.value,
                "innovation": self.reproduction.innovation_tracker.global_counter,
            },
            "generation": self.generation,
            "extinctions": self.extinctions,
            "declined": self.declined,
            "population": [plain_genome(genome) for genome in self.population.values()],
            "champion": self.champion and plain_genome(self.champion),
            "species": [plain_species(species) for species in self.species.species.values()],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Be what ``state`` was."""
        numbers = state["random"]
        self.random.setstate((numbers["version"], tuple(numbers["numbers"].tolist()), numbers["gauss"]))
        self._count_from(**state["counters"])
        self.generation, self.extinctions = state["generation"], state["extinctions"]
        self.config.genome_config.declined = state["declined"]
        self.config.genome_config.innovation_tracker = self.reproduction.innovation_tracker
        genomes = [self._genome(plain) for plain in state["population"]]
        self.population = {genome.key: genome for genome in genomes}
        champion = state["champion"]
        self.champion = champion and self.population.get(champion["key"], self._genome(champion))
        self.species.species = {plain["key"]: self._species(plain) for plain in state["species"]}

    def __reduce__(self) -> Any:  # neat-python's own pickling draws a number from its counters
        return _revived, (self.settings, self.layout, self.state())

    def _genome(self, plain: Mapping[str, Any]) -> BoundedGenome:
        config, genome = self.config.genome_config, BoundedGenome(plain["key"])
        for key, *values in plain["nodes"]:
            genome.nodes[key] = with_attributes(config.node_gene_type(key), values)
        for source, target, innovation, *values in plain["connections"]:
            gene = config.connection_gene_type((source, target), innovation=innovation)
            genome.connections[source, target] = with_attributes(gene, values)
        return genome

    def _species(self, plain: Mapping[str, Any]) -> Species:
        species = Species(plain["key"], plain["created"])
        species.last_improved = plain["last_improved"]
        species.fitness_history = plain["best"][:]
        members = {key: self.population[key] for key in plain["members"]}
        species.update(self.population[plain["representative"]], members)
        return species

    @property
    def declined(self) -> int:
        """How often a genome that fills the model was not given another node."""
        return self.config.genome_config.declined


def evaluation_order(outputs: Iterable[int], links: Iterable[tuple[int, int]]) -> dict[int, None]:
    """The nodes that the outputs depend on, themselves included, each behind those that feed it.

    neat-python's ``feed_forward_layers`` says the same, in a time that grows with the square of the network.

    Args:
        outputs: keys of nodes.
        links: (source, target), without a cycle; inputs have negative keys.
    """
    sources: dict[int, list[int]] = {}
    for source, target in links:
        sources.setdefault(target, []).append(source)
    order: dict[int, None] = {}
    todo = list(outputs)
    while todo:
        waiting = [source for source in sources.get(todo[-1], ()) if source >= 0 and source not in order]
        if waiting:
            todo += waiting
        else:
            order[todo.pop()] = None
    return order


def _revived(settings: Mapping[str, Any], layout: Layout, state: Mapping[str, Any]) -> Evolution:
    evolution = Evolution(settings, layout)
    evolution.load(state)
    return evolution


# -- plain values -----------------------------------------------------------------------------------------------------


def plain_genome(genome: BoundedGenome) -> dict[str, Any]:
    """A genome's genes as lists, in their order, by which neat-python draws; its fitness is told again each time."""
    return {
        "key": genome.key,
        "nodes": [[key, *attributes(gene)] for key, gene in genome.nodes.items()],
        "connections": [[*key, gene.innovation, *attributes(gene)] for key, gene in genome.connections.items()],
    }


def plain_species(species: Species) -> dict[str, Any]:
    """A species by the keys of its genomes; of the history of its fitness, the best is what matters."""
    return {
        "key": species.key,
        "created": species.created,
        "last_improved": species.last_improved,
        "best": [max(species.fitness_history)] if species.fitness_history else [],
        "representative": species.representative.key,
        "members": list(species.members),
    }


def attributes(gene: Any) -> list[Any]:
    return [getattr(gene, attribute.name) for attribute in gene._gene_attributes]


def with_attributes(gene: Any, values: Sequence[Any]) -> Any:
    for attribute, value in zip(gene._gene_attributes, values, strict=True):
        setattr(gene, attribute.name, value)
    return gene
