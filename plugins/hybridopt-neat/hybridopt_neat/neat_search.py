"""NEAT, NeuroEvolution of Augmenting Topologies (Stanley & Miikkulainen 2002), https://doi.org/10.1162/106365602320169811.

The algorithm is neat-python's. It differs from the paper in that it also deletes nodes and connections, counts
differences of nodes as well as of connections in the distance of two genomes, and gives the offspring of each species
by its rank between the worst and the best mean fitness.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from hybridopt import ConfigError, Search
from hybridopt.toolbox import ranges
from hybridopt.toolbox.messages import options
from hybridopt_neat.evolution import Evolution
from hybridopt_neat.layout import Layout


class NEAT(Search):
    """NEAT: networks that grow from none or few hidden nodes, in species that protect what is new.

    Made for model=genome_network, into whose parameters each genome is written. Fitness is minus the loss. The champion
    is evaluated with every generation, on the same batch, whether it is still a member or not: it is recommended for as
    long as no other beats it there, and the luckiest batch decides nothing. A genome whose loss is no number is as fit
    as the worst of those that have one.

    A genome with as many hidden nodes as the model has room for is given no more. Where there are more species than the
    population can feed, the least fit ones end; and where none is left, a new population is made.

    The names are neat-python's, and so are the defaults: those of its XOR example. Its activation functions are chosen
    with the model (``model.activations``), its aggregation is the sum, and its networks are feed-forward.

    Args:
        popsize: genomes in a generation.
        compatibility_threshold: the distance from which on two genomes are of different species.
        compatibility_disjoint_coefficient: what a gene that the other has not adds to their distance; of nodes as of
            connections, as a share of the larger genome.
        compatibility_weight_coefficient: what the difference of two genes' values counts in it.
        conn_add_prob: the probability that a child gets a new connection.
        conn_delete_prob: that it loses one.
        node_add_prob: that one of its connections is split by a new node.
        node_delete_prob: that it loses a node, with its connections.
        single_structural_mutation: at most one of these four at a time.
        structural_mutation_surer: where there is none to split, add a connection; where one is there already, enable
            it; None for the same as single_structural_mutation.
        initial_connection: how the first genomes are connected: "fs_neat" by one random input, "full" by all, "partial"
            by a share; to hidden nodes too, and from inputs to outputs directly or not.
        connection_fraction: the share, for "partial".
        num_hidden: hidden nodes of the first genomes.
        weight_init_mean: the mean of a new connection's weight.
        weight_init_stdev: its standard deviation.
        weight_init_type: its distribution; "uniform" reaches two standard deviations from the mean.
        weight_mutate_rate: the probability that a weight of a child is changed.
        weight_mutate_power: the standard deviation of the change.
        weight_replace_rate: the probability that it is drawn again instead.
        weight_min_value: the least weight.
        weight_max_value: the greatest.
        bias_init_mean: the same for the bias of a node, and so on; a node that splits a connection begins with 0.
        bias_init_stdev: see weight_init_stdev.
        bias_init_type: see weight_init_type.
        bias_mutate_rate: see weight_mutate_rate.
        bias_mutate_power: see weight_mutate_power.
        bias_replace_rate: see weight_replace_rate.
        bias_min_value: see weight_min_value.
        bias_max_value: see weight_max_value.
        response_init_mean: the same for a node's response, a factor of what comes in by its connections, and so on.
        response_init_stdev: see weight_init_stdev.
        response_init_type: see weight_init_type.
        response_mutate_rate: see weight_mutate_rate.
        response_mutate_power: see weight_mutate_power.
        response_replace_rate: see weight_replace_rate.
        response_min_value: see weight_min_value.
        response_max_value: see weight_max_value.
        activation_default: the function of a new node, by its name among ``model.activations``, or "random".
        activation_mutate_rate: the probability that a node of a child draws another one.
        enabled_default: whether a new connection is enabled.
        enabled_mutate_rate: the probability that a connection of a child is enabled or disabled at random.
        enabled_rate_to_true_add: what is added to it for one that is disabled.
        enabled_rate_to_false_add: what is added to it for one that is enabled.
        species_fitness_func: what of its members' fitness is a species' own.
        max_stagnation: the number of generations without improvement after which a species ends.
        species_elitism: how many species, the fittest, do not stagnate.
        elitism: how many members of each species, the fittest, go on unchanged.
        survival_threshold: the share of each species, the fittest, that has offspring.
        min_species_size: the least size of a species.

    Raises:
        ConfigError: a setting is out of range, or the model is another.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"losses", "direct"})

    def __init__(
        self,
        popsize: int = 150,
        compatibility_threshold: float = 3.0,
        compatibility_disjoint_coefficient: float = 1.0,
        compatibility_weight_coefficient: float = 0.5,
        conn_add_prob: float = 0.5,
        conn_delete_prob: float = 0.5,
        node_add_prob: float = 0.2,
        node_delete_prob: float = 0.2,
        single_structural_mutation: bool = False,
        structural_mutation_surer: bool | None = None,
        initial_connection: Literal[
            "unconnected",
            "fs_neat_nohidden",
            "fs_neat_hidden",
            "full_nodirect",
            "full_direct",
            "partial_nodirect",
            "partial_direct",
        ] = "full_direct",
        connection_fraction: float = 0.5,
        num_hidden: int = 0,
        weight_init_mean: float = 0.0,
        weight_init_stdev: float = 1.0,
        weight_init_type: Literal["gaussian", "uniform"] = "gaussian",
        weight_mutate_rate: float = 0.8,
        weight_mutate_power: float = 0.5,
        weight_replace_rate: float = 0.1,
        weight_min_value: float = -30.0,
        weight_max_value: float = 30.0,
        bias_init_mean: float = 0.0,
        bias_init_stdev: float = 1.0,
        bias_init_type: Literal["gaussian", "uniform"] = "gaussian",
        bias_mutate_rate: float = 0.7,
        bias_mutate_power: float = 0.5,
        bias_replace_rate: float = 0.1,
        bias_min_value: float = -30.0,
        bias_max_value: float = 30.0,
        response_init_mean: float = 1.0,
        response_init_stdev: float = 0.0,
        response_init_type: Literal["gaussian", "uniform"] = "gaussian",
        response_mutate_rate: float = 0.0,
        response_mutate_power: float = 0.0,
        response_replace_rate: float = 0.0,
        response_min_value: float = -30.0,
        response_max_value: float = 30.0,
        activation_default: str = "random",
        activation_mutate_rate: float = 0.0,
        enabled_default: bool = True,
        enabled_mutate_rate: float = 0.01,
        enabled_rate_to_true_add: float = 0.0,
        enabled_rate_to_false_add: float = 0.0,
        species_fitness_func: Literal["max", "min", "mean", "median"] = "max",
        max_stagnation: int = 20,
        species_elitism: int = 2,
        elitism: int = 2,
        survival_threshold: float = 0.2,
        min_species_size: int = 2,
    ):
        settings = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__()
        check(settings)
        self.settings = settings
        self._evolution: Evolution | None = None
        self._begun = False

    def start(self, x0: Tensor) -> None:
        self.register_buffer("champion", x0.clone())
        layout = Layout.of(self.shapes)
        check_fits(self.settings, layout)
        self._evolution, self._begun = Evolution(self.settings, layout), False

    def ask(self) -> Tensor:
        if not self._begun:
            self._evolution.begin(int(torch.randint(2**62, (), generator=self.generator, device=self.generator.device)))
            self._begun = True
        genomes = self._evolution.members.values()
        vectors = self._evolution.layout.vectors([self._evolution.phenotype(genome) for genome in genomes])
        return vectors.to(self.champion)

    def tell(self, population: Tensor, losses: Tensor) -> None:
        keys = list(self._evolution.members)
        self._evolution.advance(losses.tolist())
        self.champion = population[keys.index(self._evolution.champion.key)].clone()

    def recommend(self) -> Tensor:
        return self.champion

    def facts(self) -> dict[str, str]:
        """What the champion looks like, and how evolution went."""
        evolution = self._evolution
        if evolution is None or evolution.champion is None:
            return {}
        network, outputs = evolution.phenotype(evolution.champion), evolution.layout.outputs
        return {
            "neat.champion": network.arrows(outputs),
            "neat.hidden_nodes": str(network.hidden(outputs)),
            "neat.connections": str(len(network.links)),
            "neat.species": str(len(evolution.species.species)),
            "neat.generations": str(evolution.generation),
            "neat.extinctions": str(evolution.extinctions),
            "neat.growth_declined": str(evolution.declined),
        }

    def get_extra_state(self) -> dict[str, Any]:
        return {"evolution": self._evolution.state() if self._begun else None}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        if state["evolution"] is not None:
            self._evolution = Evolution(self.settings, Layout.of(self.shapes))
            self._evolution.load(state["evolution"])
        self._begun = state["evolution"] is not None


FIXED = "It evolves topologies, and refuses a model whose topology is fixed, as this one's is."

NEAT.conformance = {
    "expected_failures": {
        "improves_on_sphere": FIXED,
        "improves_on_noisy_quadratic": FIXED,
        "dimension_of_one": FIXED,
    },
    "problem": {
        "dataset": {"name": "xor"},
        "model": {"name": "genome_network", "max_hidden": 4},
        "objective": {"name": "mse"},
    },
    "settings": [
        {"popsize": 20, "elitism": 0, "species_elitism": 0, "max_stagnation": 2},
        {"popsize": 20, "single_structural_mutation": True, "initial_connection": "partial_direct", "num_hidden": 2},
    ],
}

# -- what cannot work, said before training ---------------------------------------------------------------------------

AT_LEAST = {
    "popsize": 2,
    "num_hidden": 0,
    "max_stagnation": 1,
    "species_elitism": 0,
    "elitism": 0,
    "min_species_size": 1,
    "compatibility_threshold": 0,
}
NOT_NEGATIVE = ("_coefficient", "_init_stdev", "_mutate_power")
SHARES = ("_prob", "_rate", "_fraction", "_add", "survival_threshold")


def check(settings: dict[str, Any]) -> None:
    """Refuse what is out of range.

    Raises:
        ConfigError: in one sentence.
    """
    ranges.finite("strategy", **{name: value for name, value in settings.items() if isinstance(value, float)})
    for name, value in settings.items():
        if name in AT_LEAST:
            ranges.at_least("strategy", AT_LEAST[name], **{name: value})
        elif name.endswith(NOT_NEGATIVE):
            ranges.at_least("strategy", 0, **{name: value})
        elif name.endswith(SHARES):
            ranges.share("strategy", "[0, 1]", **{name: value})
    for gene in ("weight", "bias", "response"):
        low, high = settings[f"{gene}_min_value"], settings[f"{gene}_max_value"]
        if low > high:
            raise ConfigError(
                f"strategy.{gene}_min_value must not exceed strategy.{gene}_max_value, but they are {low:g} and "
                f"{high:g}."
            )
    smallest = max(settings["elitism"], settings["min_species_size"])
    if smallest > settings["popsize"]:
        raise ConfigError(
            f"strategy.elitism and strategy.min_species_size make a species of {smallest}, more than the population: "
            f"lower them, or raise strategy.popsize from {settings['popsize']}."
        )


def check_fits(settings: dict[str, Any], layout: Layout) -> None:
    """Refuse what does not fit the model.

    Raises:
        ConfigError: in one sentence.
    """
    if settings["num_hidden"] > layout.hidden:
        raise ConfigError(
            f"strategy.num_hidden={settings['num_hidden']} is more than the model has room for: raise "
            f"model.max_hidden from {layout.hidden}."
        )
    default = settings["activation_default"]
    if layout.activations and default != "random" and default not in layout.activations:
        raise ConfigError(
            f"strategy.activation_default must be random or one of model.activations, but is {default!r}."
            f"{options(layout.activations, default)}"
        )
