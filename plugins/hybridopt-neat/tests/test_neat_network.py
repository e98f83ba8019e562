"""The model: it computes what neat-python computes, and is trained like any other."""

import pytest
import torch
from hybridopt_neat.genome_network import ACTIVATIONS, genome_network
from hypothesis import given, settings
from hypothesis import strategies as st
from neat.activations import ActivationFunctionSet
from neat.nn import FeedForwardNetwork

from hybridopt import ConfigError, DataSpec
from hybridopt.engine.forward import PopulationForward
from hybridopt.engine.parameters import ParameterLayout

SPEC = DataSpec((3,), 2, "regression")
GROWING = {"node_add_prob": 0.6, "node_delete_prob": 0.1, "response_init_stdev": 0.5, "response_mutate_rate": 0.5}
TAME = ["sigmoid", "tanh", "sin", "gauss", "relu", "lelu", "softplus", "clamped", "abs", "hat"]  # chains stay small


def parameters_of(network, evolution):
    """The genomes, and the model's parameters for each: name -> (n, *shape), float64."""
    genomes = list(evolution.members.values())
    vectors = evolution.layout.vectors([evolution.phenotype(genome) for genome in genomes])
    return genomes, ParameterLayout.of(dict(network.named_parameters())).unflatten(vectors)


def neat_python(genomes, evolution, inputs):
    """What neat-python's own networks answer, (n, B, O)."""
    networks = [FeedForwardNetwork.create(genome, evolution.config) for genome in genomes]
    outputs = [[network.activate(row) for row in inputs.tolist()] for network in networks]
    return torch.tensor(outputs, dtype=inputs.dtype)


def random_inputs(seed, dtype=torch.float64):
    return torch.randn(5, 3, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("activations", [["sigmoid"], TAME])
@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), generations=st.integers(0, 25))
def test_outputs_are_those_of_neat_python(evolve, activations, seed, generations):
    model = {"activations": activations}
    network, evolution = evolve(generations, seed, model, popsize=20, activation_mutate_rate=0.3, **GROWING)
    genomes, parameters = parameters_of(network, evolution)
    inputs = random_inputs(seed)
    ours = PopulationForward(network.double(), "vmap")(parameters, inputs, True)
    torch.testing.assert_close(ours, neat_python(genomes, evolution, inputs), rtol=1e-9, atol=1e-9)
    assert max(len(genome.nodes) for genome in genomes) > 2 or generations < 5  # some have grown


def test_outputs_in_single_precision_are_close(evolve):
    network, evolution = evolve(20, popsize=50, **GROWING)
    genomes, parameters = parameters_of(network, evolution)
    inputs = random_inputs(0, torch.float32)
    ours = PopulationForward(network, "vmap")({k: v.float() for k, v in parameters.items()}, inputs, True)
    torch.testing.assert_close(ours, neat_python(genomes, evolution, inputs), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_that_of_neat_python(name):
    z = torch.cat([torch.linspace(-20, 20, 401), torch.tensor([0.0, 1e-9, -1e-9, 1e3, -1e3])]).double()
    reference = ActivationFunctionSet().get(name)
    expected = torch.tensor([reference(value) for value in z.tolist()], dtype=z.dtype)
    torch.testing.assert_close(ACTIVATIONS[name](z), expected, rtol=1e-12, atol=1e-12)


def test_all_activations_of_neat_python_are_there():
    assert ACTIVATIONS.keys() == ActivationFunctionSet().functions.keys()


def test_outputs_can_have_a_function_of_their_own(evolve):
    model = {"activations": ["tanh", "sin"], "output_activation": "identity"}
    network, evolution = evolve(10, 1, model, popsize=20, **GROWING)
    genomes, parameters = parameters_of(network, evolution)
    for genome in genomes:
        for key in evolution.config.genome_config.output_keys:
            genome.nodes[key].activation = "identity"
    inputs = random_inputs(1)
    ours = PopulationForward(network.double(), "vmap")(parameters, inputs, True)
    torch.testing.assert_close(ours, neat_python(genomes, evolution, inputs), rtol=1e-9, atol=1e-9)


def test_a_closed_gate_lets_no_infinity_through():
    network = genome_network(SPEC, activations=["sigmoid", "cube"])
    assert torch.isfinite(network(torch.full((1, 3), 1e30))).all()


@pytest.mark.parametrize("settings", [{}, {"activations": ["tanh", "relu"]}, {"output_activation": "identity"}])
def test_derivatives_reach_what_is_read_and_nothing_else(settings):
    network = genome_network(SPEC, max_hidden=4, **settings)
    network(torch.randn(8, 3, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    read = torch.ones(6, 4).tril(-1).bool()
    assert (network.hidden.grad[read] != 0).any()
    assert (network.hidden.grad[~read] == 0).all()
    assert (network.input.weight.grad != 0).any(dim=1).all() or "activations" in settings


def test_inputs_are_flattened():
    network = genome_network(DataSpec((2, 3), 4, "classification"))
    assert network(torch.zeros(5, 2, 3)).shape == (5, 4)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max_hidden": 0}, r"model\.max_hidden must be at least 1, but is 0"),
        ({"activations": []}, r"model\.activations must list one or more of .* is \[\]"),
        ({"activations": ["tanh", "tanh"]}, r"model\.activations must list each function once"),
        ({"activations": ["sigmoit"]}, r"model\.activations must list .* has 'sigmoit'\. Did you mean 'sigmoid'"),
        ({"output_activation": "softmax"}, r"model\.output_activation must be one of .* is 'softmax'"),
    ],
)
def test_a_bad_setting_is_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        genome_network(SPEC, **settings)
