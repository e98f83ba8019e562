"""A network that is run under other parameters may change between two questions: what was found of it is not stale."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hybridopt.engine.forward import PopulationForward
from hybridopt.engine.modes import evaluating
from hybridopt.engine.parameters import Parameters


class Shifted(nn.Linear):
    """A layer that adds a buffer."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.register_buffer("shift", torch.ones(3))

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) + self.shift


class Frozen(nn.BatchNorm1d):
    """A layer that does something of its own when it is told its mode."""

    told: list[bool]

    def train(self, mode: bool = True) -> Frozen:
        self.told.append(mode)
        return super().train(False)


def replace_part(network: nn.Sequential) -> None:
    network[0] = nn.Linear(3, 3)


def replace_parameter(network: nn.Sequential) -> None:
    network[0].weight = nn.Parameter(torch.ones(3, 3))


def add_part(network: nn.Sequential) -> None:
    network.append(Shifted())


def replace_buffer(network: nn.Sequential) -> None:
    network[2].shift = torch.full((3,), 5.0)


def double(network: nn.Sequential) -> None:
    network.double()


@pytest.mark.parametrize("change", [replace_part, replace_parameter, add_part, replace_buffer, double])
def test_a_network_that_has_changed_is_run_as_it_is_now(change: Callable[[nn.Sequential], None]) -> None:
    torch.manual_seed(0)
    network, inputs = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), Shifted()), torch.randn(4, 3)
    forward = PopulationForward(network, "loop")
    assert torch.equal(outputs(forward, inputs), expected(network, inputs))
    change(network)
    inputs = inputs.to(network[0].weight)
    assert torch.equal(outputs(forward, inputs), expected(network, inputs))


def outputs(forward: PopulationForward, inputs: Tensor) -> Tensor:
    """Of two members, twice and three times the network's parameters."""
    with forward.evaluating():
        return forward(multiples(forward.module), inputs, shared=True)


def multiples(network: nn.Module) -> Parameters:
    return {name: torch.stack([2 * value.detach(), 3 * value.detach()]) for name, value in network.named_parameters()}


def expected(network: nn.Module, inputs: Tensor) -> Tensor:
    members = [{name: value[i] for name, value in multiples(network).items()} for i in range(2)]
    with torch.no_grad():
        return torch.stack([torch.func.functional_call(network, member, (inputs,)) for member in members])


def test_a_layer_with_modes_of_its_own_is_told() -> None:
    network = nn.Sequential(nn.Linear(3, 3), Frozen(3))
    network[1].told = []
    with evaluating(network):
        assert network[1].told == [False]
    assert network.training
